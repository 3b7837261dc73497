// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { AccountSignature } from "../libraries/AccountSignature.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";
import { PasskeyWallet } from "./zoo/PasskeyWallet.sol";
import { MultiKeyWallet, OddWallet, SingleKeyWallet } from "./zoo/SignatureWallets.sol";

/// @dev Calls the library with a signature in call data, as the ledger does.
contract AccountSignatureHarness {
    function isValid(address account, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return AccountSignature.isValid(account, digest, signature);
    }
}

contract AccountSignatureTest is TestBase {
    bytes32 private constant DIGEST = keccak256("digest");
    /// @dev Order of secp256k1.
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    uint256 private constant WALLET_GAS = 500_000;

    AccountSignatureHarness private _harness;
    address private _alice;
    uint256 private _aliceKey;

    function setUp() public {
        _harness = new AccountSignatureHarness();
        (_alice, _aliceKey) = _account("alice");
    }

    // Accounts without code

    function test_takes_an_ecdsa_signature_of_the_account_and_of_nobody_else() public {
        (address bob, uint256 bobKey) = _account("bob");
        bytes memory signature = _signature(_aliceKey, DIGEST);
        vm.assertTrue(_harness.isValid(_alice, DIGEST, signature));
        vm.assertFalse(_harness.isValid(bob, DIGEST, signature));
        vm.assertFalse(_harness.isValid(_alice, keccak256("other"), signature));
        vm.assertFalse(_harness.isValid(_alice, DIGEST, _signature(bobKey, DIGEST)));
        vm.assertFalse(_harness.isValid(address(0), DIGEST, new bytes(65)));
    }

    function test_takes_no_other_form_of_an_ecdsa_signature() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_aliceKey, DIGEST);
        _refuses(abi.encodePacked(r, s, v - 27), "v 0 or 1");
        _refuses(abi.encodePacked(r, s, v == 27 ? 28 : 27), "the other v");
        _refuses(abi.encodePacked(r, s, v + 8), "v of EIP-155");
        _refuses(abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? 28 : 27), "high s");
        bytes32 compact = bytes32(uint256(s) | (uint256(v - 27) << 255));
        _refuses(abi.encodePacked(r, compact), "64 bytes of ERC-2098");
        _refuses(abi.encodePacked(r, s, v, uint8(0)), "66 bytes");
        _refuses("", "nothing");
        _refuses(abi.encodePacked(bytes32(0), s, v), "r of zero");
    }

    // Accounts that delegate to code (EIP-7702)

    function test_takes_an_ecdsa_signature_of_an_account_whose_delegate_knows_no_eip1271() public {
        // The harness stands for any contract without isValidSignature.
        _delegate(_alice, address(_harness));
        vm.assertTrue(_harness.isValid(_alice, DIGEST, _signature(_aliceKey, DIGEST)));
        _refuses(_signature(_aliceKey, keccak256("other")), "another digest");
        _refuses("", "nothing");
    }

    function test_takes_what_the_delegate_of_an_account_accepts() public {
        (, uint256 passkey) = _account("device");
        _delegate(_alice, address(new SingleKeyWallet(address(0))));
        // The delegate reads its signer from the account's own storage.
        vm.store(_alice, bytes32(0), bytes32(uint256(uint160(vm.addr(passkey)))));
        vm.assertTrue(_harness.isValid(_alice, DIGEST, _signature(passkey, DIGEST)));
        vm.assertTrue(_harness.isValid(_alice, DIGEST, _signature(_aliceKey, DIGEST)));
        (, uint256 mallory) = _account("mallory");
        _refuses(_signature(mallory, DIGEST), "a stranger's");
    }

    function test_takes_an_ecdsa_signature_whatever_the_delegate_does() public {
        for (uint8 answer = 0; answer < uint8(OddWallet.Answer.HugeYes); ++answer) {
            _delegate(_alice, address(new OddWallet(OddWallet.Answer(answer))));
            vm.assertTrue(_harness.isValid(_alice, DIGEST, _signature(_aliceKey, DIGEST)));
            _refuses(_signature(_aliceKey, keccak256("other")), "another digest");
        }
    }

    // Contract wallets

    function test_asks_a_contract_wallet() public {
        SingleKeyWallet wallet = new SingleKeyWallet(_alice);
        vm.assertTrue(_harness.isValid(address(wallet), DIGEST, _signature(_aliceKey, DIGEST)));
        vm.assertFalse(_harness.isValid(address(wallet), keccak256("other"), _signature(_aliceKey, DIGEST)));
    }

    function test_takes_no_odd_answer_for_a_yes() public {
        for (uint8 answer = 0; answer < uint8(OddWallet.Answer.HugeYes); ++answer) {
            OddWallet wallet = new OddWallet(OddWallet.Answer(answer));
            vm.assertFalse(_harness.isValid(address(wallet), DIGEST, "signature"), vm.toString(answer));
        }
    }

    function test_bounds_what_a_wallet_that_burns_all_gas_costs() public {
        _costsAtMost(OddWallet.Answer.BurnsAllGas, false, WALLET_GAS + 20_000);
    }

    /// @dev Were the answer copied, the copy alone would cost 340,000 gas, outside the wallet's limit.
    function test_copies_no_more_of_an_answer_than_it_needs() public {
        _costsAtMost(OddWallet.Answer.HugeYes, true, 380_000);
    }

    function test_takes_no_answer_that_needs_more_gas_than_the_limit() public {
        MultiKeyWallet wallet;
        bytes memory signatures;
        (wallet, signatures) = _multiKeyWallet(200);
        vm.assertFalse(_harness.isValid(address(wallet), DIGEST, signatures));
        vm.assertEq(
            bytes32(IERC1271(address(wallet)).isValidSignature(DIGEST, signatures)),
            bytes32(IERC1271.isValidSignature.selector)
        );
    }

    // What usual wallets need: the reason for the limit

    function test_leaves_a_margin_for_a_wallet_of_ten_owners() public {
        (MultiKeyWallet wallet, bytes memory signatures) = _multiKeyWallet(10);
        _needs(IERC1271(address(wallet)), signatures, 50_000);
    }

    function test_leaves_a_margin_for_a_passkey_without_a_precompile() public {
        // The precompile of RIP-7212 answers nothing, as on chains that lack it.
        vm.mockCall(address(0x100), "", "");
        // Made with noble-curves: key sha256("passkey"), challenge DIGEST.
        PasskeyWallet wallet = new PasskeyWallet(
            0x45fad80a02a34e942bd7ee77715d42a6de633a916747f7f076e577a2109792e0,
            0x46e32afab3bd765ab0754b01a5666e3a8cffab5dcaf44b592a745c0a6642903a
        );
        // The fields of `WebAuthn.WebAuthnAuth`.
        bytes memory signature = abi.encode(
            bytes32(0x499753bd77fde7ff8b92240b416dd0bda5c8a8d73ed58ccbed696e16ceb50780),
            bytes32(0x7f6969ce76fd53d38a14125bdd7d2d0be98bf7660df8297181488442f5b7692a),
            uint256(23),
            uint256(1),
            hex"f34f7fb99d0c0e35e4dcd9e337700bbc66bbc64ead5e3f674968feac210344550500000001",
            // solhint-disable-next-line quotes
            '{"type":"webauthn.get","challenge":"aCp-JY2AvSQh0xA8vnHj47ghOBFnVrl7glbwYdwvEfs",'
            '"origin":"https://wallet.example","crossOrigin":false}'
        );
        _needs(wallet, signature, 275_000);
    }

    // Helpers

    function _refuses(bytes memory signature, string memory what) private view {
        vm.assertFalse(_harness.isValid(_alice, DIGEST, signature), what);
    }

    /// @dev The code that EIP-7702 gives an account: a prefix and the delegate's address.
    function _delegate(address account, address delegate) private {
        vm.etch(account, abi.encodePacked(hex"ef0100", delegate));
    }

    function _multiKeyWallet(uint256 count) private returns (MultiKeyWallet wallet, bytes memory signatures) {
        address[] memory owners = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 key;
            (owners[i], key) = _account(vm.toString(i));
            signatures = bytes.concat(signatures, _signature(key, DIGEST));
        }
        wallet = new MultiKeyWallet(owners);
    }

    function _costsAtMost(OddWallet.Answer answer, bool expected, uint256 limit) private {
        address wallet = address(new OddWallet(answer));
        uint256 before = gasleft();
        bool valid = _harness.isValid(wallet, DIGEST, "signature");
        uint256 used = before - gasleft();
        vm.assertEq(valid, expected);
        vm.assertLt(used, limit);
    }

    /// @dev The wallet accepts with at most this much gas, and WALLET_GAS leaves a margin of 80 %. Builds for coverage
    ///   need up to 7 % more gas than the deployed code.
    function _needs(IERC1271 wallet, bytes memory signature, uint256 limit) private view {
        vm.assertTrue(_harness.isValid(address(wallet), DIGEST, signature));
        uint256 before = gasleft();
        wallet.isValidSignature(DIGEST, signature);
        uint256 used = before - gasleft();
        vm.assertLt(used, limit, vm.toString(used));
        vm.assertLe((limit * 9) / 5, WALLET_GAS);
    }
}
