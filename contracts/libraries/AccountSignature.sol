// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title The rule for signatures of accounts
/// @notice An account signed a digest when one of these holds, tried in this order:
///
/// 1. The signature is 65 bytes (r, s, v) with low s and v 27 or 28, and recovers to the account (ECDSA).
/// 2. The account has code, and answers `isValidSignature(digest, signature)` with the magic value within WALLET_GAS
///    (EIP-1271).
///
/// ECDSA comes first because the private key of an account that delegates to code (EIP-7702) still controls the
/// account, whether or not that code implements EIP-1271. No private key is known for the address of a deployed
/// contract, so step 1 never overrules a contract wallet. Daemons apply the same rule: they check ECDSA themselves and
/// ask `KeyLedger.isAccountSignature` for the rest (offchain/daemon/account-signature.ts).
library AccountSignature {
    /// @notice Gas limit of the call to a contract wallet.
    /// @dev A wallet that verifies a passkey (WebAuthn, P-256) without a precompile needs 247,000 gas, one that checks
    /// ten owners' ECDSA signatures 40,000: AccountSignature.t.sol measures both. The limit is twice the larger figure,
    /// as a margin for proxies and for wallets that own wallets.
    uint256 internal constant WALLET_GAS = 500_000;

    function isValid(address account, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && signer == account) return true;
        return account.code.length > 0 && _walletAccepts(account, digest, signature);
    }

    /// @dev Assembly, because a call in Solidity would copy the whole answer, whose length the wallet chooses.
    function _walletAccepts(
        address wallet,
        bytes32 digest,
        bytes calldata signature
    ) private view returns (bool accepted) {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes4 magic = IERC1271.isValidSignature.selector;
        uint256 gasLimit = WALLET_GAS;
        assembly ("memory-safe") {
            // Only the answer's first word is copied, to scratch space. A shorter answer leaves part of the word as it
            // was, so its length is checked.
            let done := staticcall(gasLimit, wallet, add(question, 32), mload(question), 0, 32)
            accepted := and(done, and(gt(returndatasize(), 31), eq(mload(0), magic)))
        }
    }
}
