// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";

/// @dev Accepts every signature, but tries to make another record during the check.
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
            // The ledger uses staticcall: a call that would write must fail, whatever its arguments.
            (bool done, ) = address(LEDGER).staticcall(_attack);
            require(!done, "wrote in a static call");
        }
        return IERC1271.isValidSignature.selector;
    }
}
