// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A contract wallet (EIP-1271) whose signatures are those of one key, until the key is changed.
contract SingleKeyWallet is IERC1271 {
    address public signer;

    constructor(address initialSigner) {
        signer = initialSigner;
    }

    function changeSigner(address newSigner) external {
        signer = newSigner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) public view virtual returns (bytes4) {
        (address recovered, , ) = ECDSA.tryRecoverCalldata(hash, signature);
        return recovered == signer ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @notice A contract wallet that needs the signatures of all its owners, one after the other.
contract MultiKeyWallet is IERC1271 {
    address[] private _owners;

    constructor(address[] memory owners) {
        _owners = owners;
    }

    function isValidSignature(bytes32 hash, bytes calldata signatures) external view returns (bytes4) {
        for (uint256 i = 0; i < _owners.length; ++i) {
            if (ECDSA.recoverCalldata(hash, signatures[65 * i:65 * (i + 1)]) != _owners[i]) return bytes4(0);
        }
        return IERC1271.isValidSignature.selector;
    }
}

/// @notice A contract wallet that misbehaves when asked about a signature: some answers look valid to a careless
/// caller, some use all the gas of a caller that sets no limit.
contract OddWallet {
    enum Answer {
        Revert,
        WrongMagic,
        True,
        Nothing,
        Short,
        Huge,
        DirtyMagic,
        BurnsAllGas,
        RevertsWithMagic,
        HugeYes
    }

    Answer private immutable ANSWER;

    constructor(Answer answer) {
        ANSWER = answer;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        bytes4 magic = IERC1271.isValidSignature.selector;
        if (ANSWER == Answer.WrongMagic) return abi.encode(bytes4(0xffffffff));
        if (ANSWER == Answer.True) return abi.encode(true);
        if (ANSWER == Answer.Nothing) return "";
        if (ANSWER == Answer.Short) return abi.encodePacked(magic);
        if (ANSWER == Answer.Huge) return new bytes(100_000);
        if (ANSWER == Answer.DirtyMagic) return abi.encodePacked(magic, bytes28(uint224(1)));
        if (ANSWER == Answer.BurnsAllGas) {
            while (true) {}
        }
        if (ANSWER == Answer.RevertsWithMagic) {
            assembly ("memory-safe") {
                mstore(0, magic)
                revert(0, 32)
            }
        }
        if (ANSWER == Answer.HugeYes) {
            // The magic value, then almost as many zeros as the gas of the question pays for.
            assembly {
                mstore(0, magic)
                return(0, 400000)
            }
        }
        revert("no");
    }
}
