/**
 * Gas of recovering a sealed secret, with five guardians of whom three must approve, and of replacing an account: whole
 * transactions with call data, on Hardhat's own network. What nodes ask a policy costs nobody anything; its figure
 * shows how far it is below the cap.
 *
 *   node scripts/bench/gas-policies.ts
 */
import { AbiCoder, keccak256, type Signer, toUtf8Bytes, Wallet } from "ethers";
import { deployTallystick } from "../../ignition/deploy-tallystick.ts";
import { encodeHeader } from "../../offchain/chain/ledger.ts";
import type { RecoveryPlan } from "../../offchain/chain/recovery-policy.ts";
import { encodeRecoveryData } from "../../offchain/chain/recovery-policy.ts";
import {
  AccountDirectory__factory,
  OwnersPolicy__factory,
  RecoveryPolicy__factory,
} from "../../offchain/chain/types/index.ts";
import type { IRecoveryPolicy } from "../../offchain/chain/types/interfaces/IRecoveryPolicy.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import {
  delegationTypedData,
  recoveryApprovalTypedData,
  successionTypedData,
} from "../../offchain/core/identity/typed-messages.ts";
import { type GasFigure, GasMeter, type GasRules, measuringNetwork, RULES_OF_TODAY } from "./gas-figure.ts";

const DAY = 86_400;
const WALLET_PATH = 0;
const GUARDIANS_PATH = 1;
const CONTEXT_TYPE = "tuple(address,uint32,address,bytes32,bytes,bytes)";
/** Version and entropy of a phrase of 24 words, and what sealing adds. */
const SEALED_IDENTITY_BYTES = 1 + 32 + 145;
const bytes32 = (name: string): string => keccak256(toUtf8Bytes(name));

/** As the contract's struct, whose fields ethers takes in their order. */
function structOf(plan: RecoveryPlan): IRecoveryPolicy.RecoveryDataStruct {
  const struct = AbiCoder.defaultAbiCoder().decode(
    ["tuple(address,uint32,address[],uint8,uint32,uint32)"],
    encodeRecoveryData(plan),
  );
  return struct.toArray(true)[0] as IRecoveryPolicy.RecoveryDataStruct;
}

/** As long as the phrase entropy of a new identity, sealed. */
const HANDOVER = `0x${"11".repeat(49)}`;

/**
 * Measures every function of both policies and of the directory of accounts.
 * @throws Error when a step is refused or a function was not called
 */
export async function measurePolicyGas(rules: GasRules): Promise<GasFigure[]> {
  const connection = await measuringNetwork(rules);
  try {
    const { contracts, chainId } = await deployTallystick(connection);
    const signers: Signer[] = await connection.ethers.getSigners();
    const [author, wallet, requester, relay, ...others] = signers;
    if (author === undefined || wallet === undefined || requester === undefined || relay === undefined) {
      throw new Error("the network has too few accounts");
    }
    const addressOf = (signer: Signer): Promise<string> => signer.getAddress();
    const authorAddress = await addressOf(author);
    const guardians = await Promise.all(
      others.slice(0, 4).map(async (signer) => ({ signer, at: await addressOf(signer) })),
    );
    // A guardian that signs, and has no coins.
    const signing = new Wallet(bytes32("signing guardian"));
    const plan: RecoveryPlan = {
      wallet: { account: await addressOf(wallet), delaySeconds: 7 * DAY },
      guardians: { accounts: [...guardians.map(({ at }) => at), signing.address], threshold: 3, delaySeconds: 2 * DAY },
      windowSeconds: 7 * DAY,
    };
    const policyData = toHex(encodeRecoveryData(plan));
    const data = structOf(plan);
    const [recovery, owners] = [
      RecoveryPolicy__factory.connect(contracts.recoveryPolicy, relay),
      OwnersPolicy__factory.connect(contracts.ownersPolicy, relay),
    ];
    const meter = new GasMeter(connection);
    const secret = { ledger: contracts.keyLedger, recordId: bytes32("record"), version: 1, author: authorAddress };
    const dataHash = keccak256(policyData);
    const secretId = await recovery.secretIdOf(secret, dataHash);
    const session = { sessionKey: bytes32("session key"), number: 1n };

    const walletOnly: RecoveryPlan = {
      wallet: { account: await addressOf(wallet), delaySeconds: 7 * DAY },
      windowSeconds: 7 * DAY,
    };
    const publish = (name: string, version: number, named: IRecoveryPolicy.RecoveryDataStruct) =>
      recovery
        .connect(author)
        .publish(secret.ledger, bytes32(name), version, 1n, named, `0x${"5e".repeat(SEALED_IDENTITY_BYTES)}`);
    await meter.measure("publish, a wallet", publish("identity", 1, structOf(walletOnly)));
    await meter.measure("publish, a wallet and five guardians", publish("another identity", 1, data));
    await meter.measure("publish, the same again", publish("another identity", 2, data));

    const byWallet = {
      path: WALLET_PATH,
      proposer: await addressOf(wallet),
      requester: await addressOf(wallet),
      ...session,
    };
    await meter.measure("open, by the wallet", recovery.connect(wallet).open(secret, data, byWallet, 0n, "0x"));
    await meter.measure(
      "open, by the wallet, again",
      recovery.connect(wallet).open(secret, data, { ...byWallet, number: 2n }, 0n, "0x"),
    );
    const [first, second] = guardians;
    if (first === undefined || second === undefined) throw new Error("no guardians");
    const byGuardian = {
      path: GUARDIANS_PATH,
      proposer: first.at,
      requester: await addressOf(requester),
      ...session,
    };
    await meter.measure(
      "open, by a guardian of five",
      recovery.connect(first.signer).open(secret, data, byGuardian, 0n, "0x"),
    );
    await meter.measure(
      "approve, first of two",
      recovery.connect(second.signer).approve(secret, data, byGuardian, second.at, "0x"),
    );
    const approval = recoveryApprovalTypedData(BigInt(chainId), contracts.recoveryPolicy, {
      secretId,
      ...byGuardian,
      path: BigInt(GUARDIANS_PATH),
      guardian: signing.address,
    });
    const signature = await signing.signTypedData(approval.domain, approval.types, approval.message);
    await meter.measure(
      "approve, last, by a signature",
      recovery.approve(secret, data, byGuardian, signing.address, signature),
    );
    await meter.measure("veto", recovery.connect(author).veto(secret, dataHash, GUARDIANS_PATH, first.at, "0x"));

    const contextOf = (policy: string, evidence: string): string =>
      AbiCoder.defaultAbiCoder().encode(
        [CONTEXT_TYPE],
        [[secret.ledger, secret.version, authorAddress, session.sessionKey, policy, evidence]],
      );
    await meter.measureViews(recovery, relay, {
      mayRelease: [secret.recordId, byGuardian.requester, contextOf(policyData, "0x")],
      requestOf: [secretId, GUARDIANS_PATH, first.at],
      publicationOf: [secret.ledger, bytes32("another identity"), authorAddress],
      firstLiveVersion: [secret.ledger, secret.recordId, authorAddress],
      dataHashOf: [data],
      secretIdOf: [secret, dataHash],
      requestIdOf: [secretId, byGuardian],
      openingSignatureHash: [secretId, byGuardian, 0n],
      approvalSignatureHash: [secretId, byGuardian, first.at],
      vetoSignatureHash: [secretId, GUARDIANS_PATH, first.at],
      retirementSignatureHash: [secret.ledger, secret.recordId, 2n, authorAddress],
    });
    await meter.measure(
      "retire",
      recovery.connect(author).retire(secret.ledger, secret.recordId, authorAddress, 2, "0x"),
    );
    meter.checkComplete(recovery);
    const ofOwners = new GasMeter(connection);
    const header = {
      account: authorAddress,
      fileTag: bytes32("file"),
      committeeId: 1n,
      keyTime: 1n,
      ownershipKey: authorAddress,
      payloadHash: bytes32("payload"),
    };
    await ofOwners.measureViews(owners, relay, {
      mayRelease: [await owners.secretIdOf(header), authorAddress, contextOf("0x", encodeHeader(header))],
      secretIdOf: [header],
    });
    ofOwners.checkComplete(owners);
    const directory = AccountDirectory__factory.connect(contracts.accountDirectory, relay);
    const ofDirectory = new GasMeter(connection);
    const [account, successor] = [new Wallet(bytes32("account")), new Wallet(bytes32("successor"))];
    const succession = {
      account: account.address,
      successor: successor.address,
      handoverHash: keccak256(HANDOVER),
      deadline: 2n ** 40n,
    };
    const naming = successionTypedData(BigInt(chainId), contracts.accountDirectory, succession);
    const [byAccount, bySuccessor] = await Promise.all(
      [account, successor].map((one) => one.signTypedData(naming.domain, naming.types, { ...naming.message })),
    );
    if (byAccount === undefined || bySuccessor === undefined) throw new Error("two accounts, two signatures");
    await ofDirectory.measure(
      "replace",
      directory.replace(account, successor, HANDOVER, succession.deadline, byAccount, bySuccessor),
    );
    const { timestamp: now } = (await connection.ethers.provider.getBlock("latest")) ?? { timestamp: 0 };
    const expiresAt = BigInt(now + 86_400);
    const delegates = ["first delegate", "later delegate"].map((name) => new Wallet(bytes32(name)));
    const delegation = { account: authorAddress, scopes: 2n, expiresAt, deadline: expiresAt };
    for (const key of delegates) {
      const typed = delegationTypedData(BigInt(chainId), contracts.accountDirectory, {
        ...delegation,
        key: key.address,
      });
      const { domain, types, message } = typed;
      const byAuthor = await author.signTypedData(domain, types, { ...message });
      const byKey = await key.signTypedData(domain, types, { ...message });
      await ofDirectory.measure(
        key === delegates[0] ? "delegate, first of an account" : "delegate, later",
        directory.delegate(authorAddress, key, 2n, expiresAt, expiresAt, byAuthor, byKey),
      );
    }
    const [key = account] = delegates;
    const byOwner = directory.connect(author);
    const set = bytes32("data set");
    await ofDirectory.measure("limitFee, first", byOwner.limitFee(key, set, 1n));
    await ofDirectory.measure("limitFee, later", byOwner.limitFee(key, set, 2n));
    await ofDirectory.measureViews(directory, relay, {
      replacementOf: [account.address],
      handoverOf: [account.address],
      predecessorOf: [successor.address],
      originOf: [successor.address],
      mayActFor: [successor.address, account.address],
      successionSignatureHash: [account.address, successor.address, succession.handoverHash, succession.deadline],
      READ: [],
      WRITE: [],
      MAX_DELEGATION_SECONDS: [],
      delegationOf: [key.address],
      delegatesOf: [authorAddress],
      hasScope: [key.address, 2n],
      feeLimitOf: [key.address, authorAddress, set],
      delegationSignatureHash: [authorAddress, key.address, 2n, expiresAt, expiresAt],
      revocationSignatureHash: [authorAddress, key.address],
    });
    await ofDirectory.measure("revoke", byOwner.revoke(authorAddress, key, "0x"));
    ofDirectory.checkComplete(directory);
    const named = (figures: readonly GasFigure[], of: string) =>
      figures.map((figure) => ({ ...figure, name: `${figure.name}, ${of}` }));
    return [...meter.figures, ...named(ofOwners.figures, "owners"), ...named(ofDirectory.figures, "directory")];
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measurePolicyGas(RULES_OF_TODAY)) console.log(`${name.padEnd(48)} ${gas}`);
}
