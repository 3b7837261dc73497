// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";

/// @dev A contract wallet (EIP-1271) whose signatures are those of one key, until the key is changed.
contract SingleKeyWallet is IERC1271 {
    address public signer;

    constructor(address initialSigner) {
        signer = initialSigner;
    }

    function changeSigner(address newSigner) external {
        signer = newSigner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return ECDSA.recoverCalldata(hash, signature) == signer ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @dev Answers signature questions in ways that a careless caller would take for a yes.
contract OddWallet {
    enum Answer {
        Revert,
        WrongMagic,
        True,
        Nothing,
        Short,
        Huge
    }

    Answer private immutable ANSWER;

    constructor(Answer answer) {
        ANSWER = answer;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        if (ANSWER == Answer.WrongMagic) return abi.encode(bytes4(0xffffffff));
        if (ANSWER == Answer.True) return abi.encode(true);
        if (ANSWER == Answer.Nothing) return "";
        if (ANSWER == Answer.Short) return abi.encodePacked(IERC1271.isValidSignature.selector);
        if (ANSWER == Answer.Huge) return new bytes(100_000);
        revert("no");
    }
}

/// @dev Says yes to every signature, but tries to record something else while it is asked.
contract ReentrantWallet is IERC1271 {
    IKeyLedger private immutable LEDGER;
    bytes private _attack;

    constructor(IKeyLedger ledger) {
        LEDGER = ledger;
    }

    function arm(bytes calldata attack) external {
        _attack = attack;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (_attack.length > 0) {
            // The ledger asks by staticcall: a call that would write has to fail, whatever its arguments.
            (bool done, ) = address(LEDGER).staticcall(_attack);
            require(!done, "wrote in a static call");
        }
        return IERC1271.isValidSignature.selector;
    }
}
