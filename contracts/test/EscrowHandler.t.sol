// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EpochIndex } from "../types/EpochIndex.sol";
import { StorageEscrowHarness } from "./StorageEscrowHarness.t.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";
import { FakeRandomness } from "./zoo/FakeRandomness.sol";
import { PausableToken } from "./zoo/PausableToken.sol";
import { PlainToken } from "./zoo/PlainToken.sol";
import { ReturnsNothingToken } from "./zoo/ReturnsNothingToken.sol";

/// @title What random sequences may do to an escrow
/// @notice Each function makes one call by a random party, which the rules allow or not. A simple model of the rules
/// (one number per epoch, no packing, no counters) predicts whether the call must succeed. When the escrow does not
/// do what the model predicts, the handler reverts, and the test fails.
contract EscrowHandler is TestBase {
    struct Book {
        address user;
        IStorageEscrow.Terms terms;
        IStorageEscrow.AgreementStatus status;
        bytes32 termsHash;
        /// @dev What `agreementOf` said when the agreement was closed or cancelled; zero before.
        bytes32 frozen;
        uint8[] outcomes;
        uint256 feesToUser;
        uint256 feesToProvider;
        uint256 providerLoss;
    }

    uint8 public constant OPEN = 0;
    uint8 public constant PROVEN = 1;
    uint8 public constant MISSED = 2;
    uint256 private constant MAX_AGREEMENTS = 10;

    StorageEscrowHarness public escrow;
    FakeRandomness public randomness;
    PausableToken public pausable;
    address[] public tokens;
    address[] public parties;
    uint256 public currentBlock;

    /// @dev What each account can withdraw according to the model, and what was sent to the escrow unasked.
    mapping(address token => mapping(address account => uint256)) public credit;
    mapping(address token => uint256) public gifts;
    mapping(bytes32 action => uint256) public successes;
    Book[] private _books;

    /// @dev Every action happens in the block the sequence has reached.
    modifier inCurrentBlock() {
        vm.roll(currentBlock);
        _;
    }

    constructor() {
        escrow = new StorageEscrowHarness();
        randomness = new FakeRandomness();
        pausable = new PausableToken();
        PlainToken plain = new PlainToken();
        ReturnsNothingToken silent = new ReturnsNothingToken();
        tokens = [address(0), address(plain), address(silent), address(pausable)];
        string[5] memory names = ["ada", "bob", "carol", "dave", "eve"];
        for (uint256 i; i < names.length; ++i) {
            (address party, ) = _account(names[i]);
            parties.push(party);
            vm.deal(party, 1e30);
            plain.mint(party, 1e30);
            silent.mint(party, 1e30);
            pausable.mint(party, 1e30);
            for (uint256 t = 1; t < tokens.length; ++t) {
                vm.prank(party);
                // The return value is left alone: one of the tokens has none.
                (bool success, ) = tokens[t].call(abi.encodeCall(IERC20.approve, (address(escrow), type(uint256).max)));
                require(success, "approve failed");
            }
        }
        currentBlock = 1_000;
    }

    function advance(uint256 blocks) external {
        currentBlock += _bound(blocks, 1, 12);
    }

    function propose(uint256 userSeed, uint256 shape, uint128 amounts) external inCurrentBlock {
        if (_books.length == MAX_AGREEMENTS) return;
        address user = _party(userSeed);
        IStorageEscrow.Terms memory terms = _termsFrom(shape, amounts);
        uint256 deposit = uint256(terms.feePerEpoch) * terms.epochs;
        bool allowed = !_paused(terms.token);
        bytes memory answer = _call(
            user,
            terms.token == address(0) ? deposit : 0,
            abi.encodeCall(escrow.propose, (terms)),
            allowed,
            "propose"
        );
        if (!allowed) return;
        AgreementId id = abi.decode(answer, (AgreementId));
        Book storage book = _books.push();
        require(AgreementId.unwrap(id) == _books.length, "ids are not consecutive");
        book.user = user;
        book.terms = terms;
        book.status = IStorageEscrow.AgreementStatus.Proposed;
        book.termsHash = keccak256(abi.encode(user, terms));
        book.outcomes = new uint8[](terms.epochs);
    }

    function cancel(uint256 idSeed, uint256 callerSeed) external inCurrentBlock {
        (AgreementId id, Book storage book) = _pick(idSeed);
        if (AgreementId.unwrap(id) == 0) return;
        address caller = _party(callerSeed);
        bool allowed =
            book.status == IStorageEscrow.AgreementStatus.Proposed &&
                (caller == book.user || currentBlock >= book.terms.startBlock);
        _call(caller, 0, abi.encodeCall(escrow.cancel, (id)), allowed, "cancel");
        if (!allowed) return;
        uint256 refund = uint256(book.terms.feePerEpoch) * book.terms.epochs;
        book.status = IStorageEscrow.AgreementStatus.Cancelled;
        book.feesToUser = refund;
        credit[book.terms.token][book.user] += refund;
        book.frozen = keccak256(abi.encode(escrow.agreementOf(id)));
    }

    function accept(uint256 idSeed, uint256 callerSeed) external inCurrentBlock {
        // Mostly the newest agreement, which may still wait for its acceptance.
        (AgreementId id, Book storage book) = _pick(idSeed % 4 == 0 ? idSeed / 4 : type(uint256).max);
        if (AgreementId.unwrap(id) == 0) return;
        IStorageEscrow.Terms memory terms = book.terms;
        // Mostly the provider, sometimes somebody else.
        address caller = callerSeed % 8 == 0 ? _party(callerSeed / 8) : terms.provider;
        bool allowed =
            book.status == IStorageEscrow.AgreementStatus.Proposed &&
                caller == terms.provider &&
                currentBlock < terms.startBlock &&
                !_paused(terms.token);
        _call(
            caller,
            terms.token == address(0) ? terms.collateral : 0,
            abi.encodeCall(escrow.accept, (id, book.termsHash)),
            allowed,
            "accept"
        );
        if (allowed) book.status = IStorageEscrow.AgreementStatus.Active;
    }

    function prove(uint256 idSeed, uint256 epochSeed, uint256 callerSeed, uint256 wrongSeed) external inCurrentBlock {
        (AgreementId id, Book storage book) = _pickRunning(idSeed);
        if (AgreementId.unwrap(id) == 0) return;
        bool wrong = wrongSeed % 8 == 0;
        uint256 epoch = _epochFrom(book, epochSeed);
        uint256 openBlock = book.terms.startBlock + epoch * book.terms.epochBlocks;
        bytes32 seed = keccak256(
            abi.encode(block.chainid, address(escrow), id, epoch, keccak256(abi.encode("fake", uint64(openBlock))))
        );
        bool allowed =
            !wrong &&
                _isUnsettled(book, epoch) &&
                currentBlock > openBlock &&
                currentBlock <= openBlock + book.terms.windowBlocks &&
                randomness.available() &&
                !escrow.broken();
        PdpVerifier.Proof memory proof = PdpVerifier.Proof({
            sigma: "",
            psi: "",
            W: "",
            y: wrong ? ~uint256(seed) : uint256(seed)
        });
        PdpVerifier.Key memory key = PdpVerifier.Key({ X: "X", XA: "XA", XB: "XB" });
        _call(
            _party(callerSeed),
            0,
            abi.encodeCall(escrow.prove, (id, EpochIndex.wrap(uint32(epoch)), key, proof)),
            allowed,
            "prove"
        );
        if (!allowed) return;
        book.outcomes[epoch] = PROVEN;
        book.feesToProvider += book.terms.feePerEpoch;
        credit[book.terms.token][book.terms.provider] += book.terms.feePerEpoch;
    }

    function reportMiss(uint256 idSeed, uint256 epochSeed, uint256 callerSeed) external inCurrentBlock {
        (AgreementId id, Book storage book) = _pickRunning(idSeed);
        if (AgreementId.unwrap(id) == 0) return;
        IStorageEscrow.Terms memory terms = book.terms;
        uint256 epoch = epochSeed % (terms.epochs + 1);
        uint256 deadlineBlock = terms.startBlock + epoch * terms.epochBlocks + terms.windowBlocks;
        bool allowed = _isUnsettled(book, epoch) && currentBlock > deadlineBlock;
        address caller = _party(callerSeed);
        _call(
            caller,
            0,
            abi.encodeCall(escrow.reportMiss, (id, EpochIndex.wrap(uint32(epoch)))),
            allowed,
            "reportMiss"
        );
        if (!allowed) return;
        book.outcomes[epoch] = MISSED;
        book.feesToUser += terms.feePerEpoch;
        book.providerLoss += uint256(terms.compensationPerMiss) + terms.bountyPerMiss;
        credit[terms.token][book.user] += uint256(terms.feePerEpoch) + terms.compensationPerMiss;
        credit[terms.token][caller] += terms.bountyPerMiss;
        if (countOutcomes(AgreementId.unwrap(id) - 1, MISSED) == terms.breachLimit) {
            book.status = IStorageEscrow.AgreementStatus.Breached;
        }
    }

    function close(uint256 idSeed, uint256 callerSeed) external inCurrentBlock {
        (AgreementId id, Book storage book) = _pick(idSeed);
        if (AgreementId.unwrap(id) == 0) return;
        IStorageEscrow.Terms memory terms = book.terms;
        uint256 lastBlock = terms.startBlock + (terms.epochs - 1) * terms.epochBlocks + terms.windowBlocks;
        bool allowed =
            book.status == IStorageEscrow.AgreementStatus.Breached ||
                (book.status == IStorageEscrow.AgreementStatus.Active && currentBlock > lastBlock);
        _call(_party(callerSeed), 0, abi.encodeCall(escrow.close, (id)), allowed, "close");
        if (!allowed) return;
        uint256 misses = countOutcomes(AgreementId.unwrap(id) - 1, MISSED);
        for (uint256 epoch; epoch < terms.epochs; ++epoch) {
            if (book.outcomes[epoch] != OPEN) continue;
            book.feesToUser += terms.feePerEpoch;
            credit[terms.token][book.user] += terms.feePerEpoch;
            if (misses == terms.breachLimit) continue;
            ++misses;
            book.providerLoss += terms.compensationPerMiss;
            credit[terms.token][book.user] += terms.compensationPerMiss;
        }
        credit[terms.token][terms.provider] += terms.collateral - book.providerLoss;
        book.status = IStorageEscrow.AgreementStatus.Closed;
        book.frozen = keccak256(abi.encode(escrow.agreementOf(id)));
    }

    function withdraw(uint256 tokenSeed, uint256 callerSeed, uint256 toSeed) external inCurrentBlock {
        address token = tokens[tokenSeed % tokens.length];
        address caller = _party(callerSeed);
        bool allowed = credit[token][caller] > 0 && !_paused(token);
        _call(caller, 0, abi.encodeCall(escrow.withdraw, (token, _party(toSeed))), allowed, "withdraw");
        if (allowed) credit[token][caller] = 0;
    }

    /// @notice Sends tokens or coins to the escrow without a call of its functions.
    function give(uint256 tokenSeed, uint256 amount) external inCurrentBlock {
        address token = tokens[tokenSeed % tokens.length];
        amount = _bound(amount, 1, 1e6);
        if (_paused(token)) return;
        gifts[token] += amount;
        if (token == address(0)) vm.deal(address(escrow), address(escrow).balance + amount);
        else PlainToken(token).mint(address(escrow), amount);
    }

    /// @notice The token's issuer stops it, the randomness source breaks, the verifier breaks, or all recover.
    function disturb(uint256 what) external inCurrentBlock {
        if (what % 8 == 0) {
            if (!pausable.paused()) pausable.setPaused(true);
        } else if (what % 8 == 1) {
            randomness.setAvailable(false);
        } else if (what % 8 == 2) {
            escrow.setBroken(true);
        } else {
            recover();
        }
    }

    function recover() public {
        if (pausable.paused()) pausable.setPaused(false);
        randomness.setAvailable(true);
        escrow.setBroken(false);
    }

    function agreementCount() external view returns (uint256) {
        return _books.length;
    }

    function bookOf(uint256 index) external view returns (Book memory) {
        return _books[index];
    }

    function tokenCount() external view returns (uint256) {
        return tokens.length;
    }

    function partyCount() external view returns (uint256) {
        return parties.length;
    }

    function countOutcomes(uint256 index, uint8 outcome) public view returns (uint256 count) {
        uint8[] memory outcomes = _books[index].outcomes;
        for (uint256 epoch; epoch < outcomes.length; ++epoch) {
            if (outcomes[epoch] == outcome) ++count;
        }
    }

    function _call(
        address caller,
        uint256 value,
        bytes memory data,
        bool allowed,
        bytes32 action
    ) private returns (bytes memory answer) {
        bool success;
        vm.prank(caller);
        (success, answer) = address(escrow).call{ value: value }(data);
        vm.assertEq(success, allowed, string(abi.encodePacked(action)));
        if (success) ++successes[action];
    }

    function _termsFrom(uint256 shape, uint128 amounts) private view returns (IStorageEscrow.Terms memory terms) {
        terms.provider = _party(shape);
        terms.token = tokens[(shape >> 8) % tokens.length];
        terms.feePerEpoch = 1 + (amounts % 1e12);
        terms.compensationPerMiss = (amounts >> 32) % 1e12;
        terms.bountyPerMiss = (amounts >> 64) % 1e6;
        terms.breachLimit = uint16(1 + ((shape >> 16) % 4));
        terms.collateral =
            terms.breachLimit * (terms.compensationPerMiss + terms.bountyPerMiss) +
            uint128((shape >> 24) % 3);
        terms.startBlock = uint64(currentBlock + 1 + ((shape >> 32) % 60));
        terms.epochBlocks = uint32(1 + ((shape >> 40) % 10));
        terms.windowBlocks = terms.epochBlocks - uint32(((shape >> 48) % terms.epochBlocks) / 2);
        terms.epochs = uint32(1 + ((shape >> 56) % 7));
        terms.sampleCount = 1;
        terms.firstIndex = 1;
        terms.sliceCount = 1;
        terms.auditKeyHash = keccak256("XXAXB");
        terms.manifestHash = bytes32(shape | 1);
        terms.randomness = address(randomness);
    }

    function _pick(uint256 idSeed) private view returns (AgreementId id, Book storage book) {
        if (_books.length == 0) {
            // No storage is touched through it: callers look at the id first.
            assembly ("memory-safe") {
                book.slot := 0
            }
            return (AgreementId.wrap(0), book);
        }
        uint256 index = idSeed == type(uint256).max ? _books.length - 1 : idSeed % _books.length;
        return (AgreementId.wrap(index + 1), _books[index]);
    }

    /// @dev Mostly an agreement that runs, if there is one; else any.
    function _pickRunning(uint256 idSeed) private view returns (AgreementId id, Book storage book) {
        (id, book) = _pick(idSeed);
        if (idSeed % 4 == 0) return (id, book);
        for (uint256 i; i < _books.length && book.status != IStorageEscrow.AgreementStatus.Active; ++i) {
            (id, book) = _pick(AgreementId.unwrap(id));
        }
    }

    /// @dev Mostly the epoch whose proof is due at this block, else any epoch, sometimes one that does not exist.
    function _epochFrom(Book storage book, uint256 epochSeed) private view returns (uint256) {
        if (epochSeed % 4 != 0 && currentBlock > book.terms.startBlock) {
            return (currentBlock - book.terms.startBlock - 1) / book.terms.epochBlocks;
        }
        return (epochSeed >> 2) % (book.terms.epochs + 1);
    }

    function _isUnsettled(Book storage book, uint256 epoch) private view returns (bool) {
        return
            book.status == IStorageEscrow.AgreementStatus.Active &&
            epoch < book.outcomes.length &&
            book.outcomes[epoch] == OPEN;
    }

    function _paused(address token) private view returns (bool) {
        return token == address(pausable) && pausable.paused();
    }

    function _party(uint256 seed) private view returns (address) {
        return parties[seed % parties.length];
    }
}
