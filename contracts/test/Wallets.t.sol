// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";

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
