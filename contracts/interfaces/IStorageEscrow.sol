// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Escrow of data sets
/// @notice A data set is what one device keeps at one provider. It grows and shrinks while it runs, is proven once per
/// epoch, and is paid from one balance that its user has for all sets in a token. The provider's collateral is a pool
/// for all its sets in a token.
///
/// Time is counted in blocks and in **epochs** of `EPOCH_BLOCKS` blocks: epoch k begins at block k * EPOCH_BLOCKS. In
/// each epoch a set is challenged at block `phase` of it. A proof counts in the `windowBlocks` blocks after that, and
/// with less pay in the `graceBlocks` blocks that follow. A miss can be reported until the end of the next epoch.
///
/// The contract stores two words per set. What else belongs to it is hashed: the **terms**, which never change and
/// whose hash is the set's id, and the **schedule**, which says what is stored from which epoch on. Whoever calls
/// brings both; the newest schedule is in the set's last event.
interface IStorageEscrow {
    /// @notice When the provider has to prove.
    /// @dev EveryEpoch: a proof in an epoch earns its fee. OnDemand: every epoch earns its fee unless somebody disputes
    /// possession with a bond and the provider does not answer.
    enum Mode {
        EveryEpoch,
        OnDemand
    }

    /// @dev Breached and closed sets never change.
    enum Status {
        None,
        Running,
        Breached,
        Closed
    }

    /// @notice What never changes. The fee of an epoch is feePerSlice * live slices + feePerIndex * highest index, at
    /// least feeFloor and at most feeCap; amounts are in the token's smallest unit.
    struct Terms {
        address user;
        address provider;
        /// @dev Zero for the native coin.
        address token;
        Mode mode;
        uint80 feeFloor;
        uint80 feePerSlice;
        uint80 feePerIndex;
        /// @dev Highest fee of an epoch that an update may lead to: the user's limit for what a device can spend.
        uint80 feeCap;
        /// @dev Collateral in percent of the highest fee in the schedule, which is first rounded up to four
        /// significant bits, so that it seldom changes.
        uint32 collateralPercent;
        /// @dev To the user for a miss, in percent of the epoch's fee, beside the fee itself.
        uint16 compensationPercent;
        /// @dev To whoever reports a miss, in percent of the epoch's fee.
        uint16 bountyPercent;
        /// @dev Part of the fee that a proof in the grace window earns.
        uint16 latePercent;
        /// @dev Misses that end the set; what is left of the collateral then goes to the user.
        uint8 breachLimit;
        /// @dev keccak256(abi.encode(AuditTerms)).
        bytes32 auditHash;
    }

    /// @notice What never changes and only proofs, reports and disputes need.
    struct AuditTerms {
        address randomness;
        address verifier;
        /// @dev keccak256 of the user's audit key.
        bytes32 keyHash;
        /// @dev Elements of 31 bytes in a slice.
        uint32 sliceElements;
        uint16 sampleCount;
        uint32 phase;
        uint32 windowBlocks;
        uint32 graceBlocks;
        /// @dev What a dispute costs its author if the provider answers it.
        uint80 disputeBond;
        /// @dev The set that this one continues, at this or another provider; zero for none.
        bytes32 predecessor;
        bytes32 salt;
    }

    /// @notice What is stored from one epoch on. A **schedule** is, packed: a version (8 bytes); how often the user has
    /// retired slices alone (4); a hash of what both parties signed about the content (32): commitments, manifest, head
    /// of the snapshot list; and levels by ascending epoch, the first one possibly in the past. A co-signed update
    /// names the number of retirements, so that an older update never undoes one.
    /// @dev In a schedule a level has 4, 10, 6, 6 and 32 bytes.
    struct Level {
        uint256 fromEpoch;
        uint256 fee;
        uint256 sliceCount;
        /// @dev Highest index that was ever in the set. Indices up to it never come back.
        uint256 highestIndex;
        /// @dev keccak256 of the live ranges, see `LiveRanges`.
        bytes32 rangesHash;
    }

    /// @notice The next state of a set, signed by both parties (EIP-712 `DataSetUpdate`).
    struct Update {
        uint64 version;
        /// @dev The whole list of live ranges.
        bytes ranges;
        bytes32 contentHash;
        uint64 deadlineBlock;
        /// @dev Empty when the user sends the call.
        bytes userSignature;
        /// @dev Empty exactly when the provider or its operator sends the call, which may then replace what waits.
        bytes providerSignature;
    }

    /// @notice A proof of the current epoch of one set.
    struct ProofCall {
        Terms terms;
        AuditTerms audit;
        bytes schedule;
        bytes ranges;
        /// @dev Audit key and proof, in the layout of the verifier.
        bytes answer;
        /// @dev For the randomness source, when it does not know the challenge block yet.
        bytes evidence;
    }

    /// @notice The part of a set that changes with every epoch.
    struct Books {
        Status status;
        bool disputed;
        uint256 missed;
        /// @dev Two bits for each of the two epochs behind `settledThrough`: 1 proven, 2 missed.
        uint256 outcomes;
        /// @dev Epochs up to this one are settled.
        uint256 settledThrough;
        uint256 proven;
        /// @dev Of the user's balance when the set was opened.
        uint256 generation;
        /// @dev Last epoch that is paid once notice is given; 0 before.
        uint256 noticedEnd;
    }

    /// @notice Collateral of a provider in a token.
    struct Pool {
        uint256 total;
        /// @dev What its running sets may cost; it stays until they end.
        uint256 locked;
    }

    /// @notice Balance of a user in a token, as of the last time that it was touched.
    struct Account {
        uint256 available;
        /// @dev Sum of the last fees of all running sets.
        uint256 rate;
        /// @dev Epochs up to this one are paid.
        uint256 paidThrough;
        /// @dev Grows when the balance is used up.
        uint256 generation;
    }

    /// @notice An open dispute.
    struct Dispute {
        address disputer;
        uint64 challengeBlock;
        uint80 bond;
    }

    /// @notice Money was added to a user's balance.
    /// @param token Zero for the native coin.
    /// @param user Whose balance.
    /// @param from Who paid.
    /// @param amount What arrived.
    event Deposited(address indexed token, address indexed user, address indexed from, uint256 amount);
    /// @notice Collateral was added to a provider's pool.
    /// @param token Zero for the native coin.
    /// @param provider Whose pool.
    /// @param from Who paid.
    /// @param amount What arrived.
    event CollateralDeposited(address indexed token, address indexed provider, address indexed from, uint256 amount);
    /// @notice A user withdrew.
    /// @param token Zero for the native coin.
    /// @param account Whose balance.
    /// @param to Who received the payment.
    /// @param amount What was sent.
    event Withdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);
    /// @notice A provider withdrew.
    /// @param token Zero for the native coin.
    /// @param provider Whose pool.
    /// @param to Who received the payment.
    /// @param amount What was sent.
    event CollateralWithdrawn(address indexed token, address indexed provider, address indexed to, uint256 amount);
    /// @notice A provider named the account that signs and sends for it.
    /// @param provider The owner of the pool.
    /// @param operator The account; zero for none.
    event OperatorSet(address indexed provider, address indexed operator);
    /// @notice A balance was used up: all running sets of the user in this token ended.
    /// @param token Zero for the native coin.
    /// @param user Whose balance.
    /// @param generation The generation that ended.
    /// @param endEpoch First epoch that is not paid.
    event BalanceExhausted(address indexed token, address indexed user, uint256 generation, uint256 endEpoch);
    /// @notice A set was opened.
    /// @param id Hash of the terms.
    /// @param user Who pays.
    /// @param provider Who stores and proves.
    /// @param terms What never changes.
    /// @param audit What never changes about proofs.
    event DataSetOpened(
        bytes32 indexed id,
        address indexed user,
        address indexed provider,
        Terms terms,
        AuditTerms audit
    );
    /// @notice The schedule of a set is a new one.
    /// @param id The set.
    /// @param schedule What the next call about this set must bring.
    /// @param ranges Live ranges of its last level; empty when the set ends.
    event DataSetScheduled(bytes32 indexed id, bytes schedule, bytes ranges);
    /// @notice A party gave notice.
    /// @param id The set.
    /// @param by The user, the provider or its operator.
    /// @param lastEpoch Last epoch of the set.
    event NoticeGiven(bytes32 indexed id, address indexed by, uint256 lastEpoch);
    /// @notice Possession was proven.
    /// @param id The set.
    /// @param epoch The epoch.
    /// @param fee What the provider earned.
    /// @param late Whether the proof came in the grace window.
    event EpochProven(bytes32 indexed id, uint256 indexed epoch, uint256 fee, bool late);
    /// @notice An epoch passed without a proof.
    /// @param id The set.
    /// @param epoch The epoch.
    /// @param reporter Who sent the call.
    /// @param fee Back to the user.
    /// @param compensation To the user, from the collateral.
    /// @param bounty To the reporter or the author of the dispute, from the collateral.
    event EpochMissed(
        bytes32 indexed id,
        uint256 indexed epoch,
        address indexed reporter,
        uint256 fee,
        uint256 compensation,
        uint256 bounty
    );
    /// @notice Epochs that went to nobody are settled.
    /// @param id The set.
    /// @param throughEpoch The last one.
    /// @param paid To the provider.
    /// @param refunded To the user.
    event DataSetSettled(bytes32 indexed id, uint256 throughEpoch, uint256 paid, uint256 refunded);
    /// @notice A set ended by misses, or because a party signed two states.
    /// @param id The set.
    /// @param epoch The epoch of the last miss, or the current one.
    /// @param forfeited What was left of the collateral, which goes to the user.
    event DataSetBreached(bytes32 indexed id, uint256 epoch, uint256 forfeited);
    /// @notice The last epoch of a set was settled and its collateral freed.
    /// @param id The set.
    /// @param by Who sent the call.
    /// @param bounty To the caller, from the collateral, when the set was abandoned.
    event DataSetClosed(bytes32 indexed id, address indexed by, uint256 bounty);
    /// @notice Somebody asks for a proof.
    /// @param id The set.
    /// @param disputer Who pays if there is one.
    /// @param challengeBlock Whose randomness decides what is asked for.
    /// @param bond What it costs then.
    event DisputeOpened(bytes32 indexed id, address indexed disputer, uint256 challengeBlock, uint256 bond);
    /// @notice The provider answered a dispute.
    /// @param id The set.
    /// @param disputer Who loses the bond.
    /// @param bond To the provider.
    event DisputeAnswered(bytes32 indexed id, address indexed disputer, uint256 bond);
    /// @notice A dispute was not answered in time.
    /// @param id The set.
    /// @param disputer Who gets the bond back.
    /// @param bond The bond.
    event DisputeUpheld(bytes32 indexed id, address indexed disputer, uint256 bond);
    /// @notice A party signed two states under one version.
    /// @param id The set.
    /// @param signer The party.
    /// @param version The version.
    event DoubleSigned(bytes32 indexed id, address indexed signer, uint256 version);

    /// @notice These terms may not be agreed on.
    /// @param field Name of the value that is wrong.
    error InvalidTerms(string field);
    /// @notice There is no set with these terms.
    /// @param id Hash of the terms.
    error UnknownDataSet(bytes32 id);
    /// @notice There is a set with these terms.
    /// @param id Hash of the terms.
    error DataSetExists(bytes32 id);
    /// @notice The schedule is not the newest one, which is in the last `DataSetScheduled` of the set.
    /// @param id The set.
    /// @param expected Hash of the newest schedule.
    /// @param received Hash of the given one.
    error WrongSchedule(bytes32 id, bytes32 expected, bytes32 received);
    /// @notice The audit terms are not those of the set.
    /// @param expected Hash in the terms.
    /// @param received Hash of the given ones.
    error WrongAuditTerms(bytes32 expected, bytes32 received);
    /// @notice The ranges are not those of the level.
    /// @param expected Hash in the schedule.
    /// @param received Hash of the given ones.
    error WrongRanges(bytes32 expected, bytes32 received);
    /// @notice The status of the set does not allow this.
    /// @param id The set.
    /// @param status Its status.
    error WrongStatus(bytes32 id, Status status);
    /// @notice Sets of this mode do not know this call.
    /// @param id The set.
    /// @param mode Its mode.
    error WrongMode(bytes32 id, Mode mode);
    /// @notice The end of the set is known, so nothing is added, taken out or given notice of.
    /// @param id The set.
    /// @param lastEpoch Its last epoch.
    error DataSetEnded(bytes32 id, uint256 lastEpoch);
    /// @notice The set cannot be closed before the second epoch behind its last one.
    /// @param id The set.
    /// @param lastEpoch Its last epoch; the maximum when it has no end.
    error StillRunning(bytes32 id, uint256 lastEpoch);
    /// @notice The signature is not that of the account for this state, chain and escrow, and for the number of
    /// retirements in the schedule.
    /// @param signer Who should have signed.
    /// @param digest What should have been signed.
    error SignatureInvalid(address signer, bytes32 digest);
    /// @notice A delegate of the user signed a state that costs more than the user lets it spend on this set.
    /// @param key The delegate.
    /// @param fee Fee of the state, per epoch.
    /// @param limit The highest that the delegate may sign.
    error FeeAboveLimit(address key, uint256 fee, uint256 limit);
    /// @notice The signatures may not be used any more.
    /// @param deadlineBlock Last block in which they could.
    /// @param currentBlock The block of the call.
    error SignatureExpired(uint256 deadlineBlock, uint256 currentBlock);
    /// @notice The version is not a higher one.
    /// @param current Version of the schedule.
    /// @param received Version of the update.
    error StaleVersion(uint256 current, uint256 received);
    /// @notice Evidence names a number of retirements that the set does not have yet.
    /// @param current Number in the schedule.
    /// @param received Number in the evidence.
    error RetirementsToCome(uint256 current, uint256 received);
    /// @notice Both signatures are for one state.
    /// @param id The set.
    /// @param version The version.
    error SameState(bytes32 id, uint256 version);
    /// @notice Only the user may do this.
    /// @param caller Who called.
    /// @param user Who pays.
    error NotUser(address caller, address user);
    /// @notice Only the user, the provider and its operator may do this.
    /// @param caller Who called, or is accused.
    error NotParty(address caller);
    /// @notice A change that has not begun waits. Only the provider may replace it with another co-signed state; the
    /// user may retire slices once per epoch.
    /// @param id The set.
    /// @param fromEpoch The epoch in which it begins.
    error ChangePending(bytes32 id, uint256 fromEpoch);
    /// @notice Too many changes wait for an epoch or a dispute to be settled.
    /// @param id The set.
    error TooManyLevels(bytes32 id);
    /// @notice The fee would exceed what the user allows.
    /// @param fee The fee of an epoch.
    /// @param feeCap The limit in the terms.
    error FeeAboveCap(uint256 fee, uint256 feeCap);
    /// @notice The balance does not cover this and the notice period of all sets.
    /// @param token Zero for the native coin.
    /// @param user Whose balance.
    /// @param available What is there.
    /// @param required What would have to be there.
    error BalanceTooLow(address token, address user, uint256 available, uint256 required);
    /// @notice The pool does not cover this and what is locked.
    /// @param token Zero for the native coin.
    /// @param provider Whose pool.
    /// @param total What is there.
    /// @param locked What would be locked.
    error CollateralTooLow(address token, address provider, uint256 total, uint256 locked);
    /// @notice A proof does not count in this block.
    /// @param currentBlock The block of the call.
    /// @param afterBlock Proofs count after this block.
    /// @param lastBlock Last block in which a proof counts.
    error OutsideWindow(uint256 currentBlock, uint256 afterBlock, uint256 lastBlock);
    /// @notice A miss cannot be reported in this block.
    /// @param id The set.
    /// @param epoch The epoch.
    /// @param currentBlock The block of the call.
    /// @param fromBlock First block in which it can.
    /// @param untilBlock Last block in which it can.
    error NotReportable(bytes32 id, uint256 epoch, uint256 currentBlock, uint256 fromBlock, uint256 untilBlock);
    /// @notice The epoch is before the first or behind the last one of the set.
    /// @param id The set.
    /// @param epoch The epoch.
    error NotPartOfSet(bytes32 id, uint256 epoch);
    /// @notice The epoch has been proven, missed or settled.
    /// @param id The set.
    /// @param epoch The epoch.
    error EpochSettled(bytes32 id, uint256 epoch);
    /// @notice The verifier does not accept a proof of this call.
    error ProofRejected();
    /// @notice The call has no proof.
    error NoProofs();
    /// @notice Sets with different verifiers cannot be proven in one call.
    /// @param first Verifier of the first set.
    /// @param other Verifier of another one.
    error DifferentVerifiers(address first, address other);
    /// @notice A dispute is open.
    /// @param id The set.
    error DisputeOpen(bytes32 id);
    /// @notice No dispute is open.
    /// @param id The set.
    error NoDispute(bytes32 id);
    /// @notice The challenge of a dispute would fall into the next epoch. Try again there.
    /// @param challengeBlock The next block with randomness.
    /// @param epoch The current epoch.
    error DisputeTooLate(uint256 challengeBlock, uint256 epoch);
    /// @notice The value sent is not the amount.
    /// @param expected Expected value.
    /// @param received Received value.
    error WrongValue(uint256 expected, uint256 received);
    /// @notice The payment would go to the zero address or to the escrow itself.
    /// @param to Who receives the payment.
    error InvalidRecipient(address to);
    /// @notice The amount is zero, or larger than the escrow can count.
    /// @param amount The amount.
    error InvalidAmount(uint256 amount);

    /// @notice Adds money to a user's balance. Anybody may. A token that takes a fee adds what arrives.
    /// @param token Zero for the native coin, which is sent along.
    /// @param user Whose balance.
    /// @param amount How much.
    function deposit(address token, address user, uint256 amount) external payable;

    /// @notice Pays the caller from its balance what the notice period of its sets does not need.
    /// @param token Zero for the native coin.
    /// @param to Who receives the payment.
    /// @param amount How much.
    function withdraw(address token, address to, uint256 amount) external;

    /// @notice Adds collateral to a provider's pool. Anybody may.
    /// @param token Zero for the native coin, which is sent along.
    /// @param provider Whose pool.
    /// @param amount How much.
    function depositCollateral(address token, address provider, uint256 amount) external payable;

    /// @notice Pays the caller from its pool, which also holds its earnings, what is not locked.
    /// @param token Zero for the native coin.
    /// @param to Who receives the payment.
    /// @param amount How much.
    function withdrawCollateral(address token, address to, uint256 amount) external;

    /// @notice Names the account that signs states and sends calls for the caller, which then only keeps the money.
    /// The states of open sets that the operator before it has signed count for `REPLACED_EPOCHS`, with the current
    /// one; it no longer opens sets, and no longer sends.
    /// @param operator The account; zero for the caller itself.
    function setOperator(address operator) external;

    /// @notice Opens a set, which begins with the next epoch. Both parties signed its first state, or send the call.
    /// @param terms What never changes.
    /// @param audit What never changes about proofs.
    /// @param first The first state; at least one slice.
    function open(Terms calldata terms, AuditTerms calldata audit, Update calldata first) external;

    /// @notice Schedules the next state. It counts from the next epoch on; until then a higher version replaces it, if
    /// the provider sends that. An empty list ends the set with the current epoch.
    /// @param terms Of the set.
    /// @param schedule The newest one.
    /// @param ranges Live ranges of its last level.
    /// @param next The next state.
    function update(
        Terms calldata terms,
        bytes calldata schedule,
        bytes calldata ranges,
        Update calldata next
    ) external;

    /// @notice Takes slices out of a set, at least one. The user alone does it; it counts from the epoch after the next
    /// one on. Once per epoch: a proof names the newest schedule, and a user that makes new ones could keep the proofs
    /// out.
    /// @param terms Of the set.
    /// @param schedule The newest one.
    /// @param ranges Live ranges of its last level.
    /// @param carried The newest update that both parties signed, which this call carries out first, so that its slices
    /// are paid for an epoch; version 0 for none. As in `update`, only while no other change waits.
    /// @param remaining Live ranges afterwards.
    function retire(
        Terms calldata terms,
        bytes calldata schedule,
        bytes calldata ranges,
        Update calldata carried,
        bytes calldata remaining
    ) external;

    /// @notice Ends a set after the notice period. The user, the provider or its operator gives notice, once. The fees
    /// until then are paid at once; a balance that does not cover the period ends the set when it would have been used
    /// up.
    /// @param terms Of the set.
    /// @param schedule The newest one.
    function giveNotice(Terms calldata terms, bytes calldata schedule) external;

    /// @notice Settles the epochs that nothing can change any more. Anybody may; gas does not depend on their number.
    /// @param terms Of the set.
    /// @param schedule The newest one.
    function settle(Terms calldata terms, bytes calldata schedule) external;

    /// @notice Settles what is left of a set that has ended and frees its collateral. Anybody may, from the second
    /// epoch behind the last one on; a stranger gets the bounty of a miss when nobody did for `ABANDONED_EPOCHS`.
    /// @param terms Of the set.
    /// @param schedule The newest one.
    function close(Terms calldata terms, bytes calldata schedule) external;

    /// @notice Settles the current epoch of one or several sets by possession proofs, or answers disputes. Anybody may
    /// send it. All sets must name one verifier; one wrong proof refuses the call.
    /// @param calls A set in each.
    function prove(ProofCall[] calldata calls) external;

    /// @notice Settles an epoch whose windows have passed without a proof. The caller gets the bounty.
    /// @param terms Of the set.
    /// @param audit Of the set.
    /// @param schedule The newest one.
    /// @param epoch The current epoch or the one before it.
    function reportMiss(
        Terms calldata terms,
        AuditTerms calldata audit,
        bytes calldata schedule,
        uint256 epoch
    ) external;

    /// @notice Asks for a proof of a set in mode OnDemand, with a bond from the caller's balance. The provider gets the
    /// bond when it answers, the caller gets it back with a bounty when it does not.
    /// @param terms Of the set.
    /// @param audit Of the set.
    /// @param schedule The newest one.
    function dispute(Terms calldata terms, AuditTerms calldata audit, bytes calldata schedule) external;

    /// @notice Decides a dispute that was not answered in time: a miss. Anybody may; bond and bounty go to its author.
    /// @param terms Of the set.
    /// @param audit Of the set.
    /// @param schedule The newest one.
    function upholdDispute(Terms calldata terms, AuditTerms calldata audit, bytes calldata schedule) external;

    /// @notice Shows that one party signed two states under one version. The provider loses its collateral; the user
    /// pays the notice period. The set ends. A provider that has given notice does not escape this; a user that has
    /// given notice has paid the same.
    /// @param terms Of the set.
    /// @param schedule The newest one.
    /// @param signer The party; for the provider itself, its operator, or one that was replaced until a short time ago.
    /// @param evidence abi.encode(uint256 retirements, Update, Update), each signed by that party under this number of
    /// retirements. A later retirement does not void it.
    function showDoubleSigning(
        Terms calldata terms,
        bytes calldata schedule,
        address signer,
        bytes calldata evidence
    ) external;

    /// @notice The id of a set: keccak256 of a tag, the chain id, this contract and the terms, a word for each value.
    /// @param terms The terms.
    /// @return id The id, whether or not the set exists.
    function idOf(Terms calldata terms) external view returns (bytes32 id);

    /// @notice The current epoch.
    /// @return Number of the epoch.
    function currentEpoch() external view returns (uint256);

    /// @notice keccak256 of the newest schedule of a set.
    /// @param id The set.
    /// @return The hash; zero when there is no such set.
    function scheduleHashOf(bytes32 id) external view returns (bytes32);

    /// @notice The part of a set that changes with every epoch.
    /// @param id The set.
    /// @return Zeros when there is no such set.
    function booksOf(bytes32 id) external view returns (Books memory);

    /// @notice The open dispute of a set.
    /// @param id The set.
    /// @return Zeros when there is none.
    function disputeOf(bytes32 id) external view returns (Dispute memory);

    /// @notice A balance as of the last time that it was touched; `UserBalance.accrue` brings it up to date.
    /// @param token Zero for the native coin.
    /// @param user Whose balance.
    /// @return The balance.
    function accountOf(address token, address user) external view returns (Account memory);

    /// @notice First unpaid epoch of a generation of a balance that was used up.
    /// @param token Zero for the native coin.
    /// @param user Whose balance.
    /// @param generation The generation.
    /// @return The epoch; zero while the generation goes on.
    function endEpochOf(address token, address user, uint32 generation) external view returns (uint32);

    /// @notice Collateral of a provider.
    /// @param token Zero for the native coin.
    /// @param provider Whose pool.
    /// @return The pool.
    function poolOf(address token, address provider) external view returns (Pool memory);

    /// @notice Who signs and sends for a provider.
    /// @param provider The owner of the pool.
    /// @return The operator, or the provider itself when it named none.
    function operatorOf(address provider) external view returns (address);

    /// @notice Until when the signatures of an operator count that was replaced.
    /// @param provider The owner of the pool.
    /// @param operator The account.
    /// @return The first epoch in which they do not; zero for an account that was never replaced.
    function replacedUntil(address provider, address operator) external view returns (uint256);
}
