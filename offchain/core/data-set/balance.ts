/**
 * The balance of a user for all its data sets in one token, as `UserBalance.sol` counts it: every epoch costs the sum
 * of the fees of all running sets and is paid at its beginning. When the balance is used up, all sets end at one epoch.
 */

/** `IStorageEscrow.Account`, as of the last time that the chain touched it. */
export interface UserAccount {
  readonly available: bigint;
  /** What an epoch costs. */
  readonly rate: bigint;
  /** Epochs up to this one are paid. */
  readonly paidThrough: number;
  readonly generation: number;
}

export interface AccruedAccount extends UserAccount {
  /** First epoch that could not be paid, when the balance was used up since the chain touched it. */
  readonly endEpoch?: number;
}

/** Brings an account up to date. */
export function accrue(account: UserAccount, epoch: number): AccruedAccount {
  if (epoch <= account.paidThrough) return account;
  if (account.rate === 0n) return { ...account, paidThrough: epoch };
  const affordable = account.available / account.rate;
  const due = BigInt(epoch - account.paidThrough);
  if (due <= affordable) {
    return { ...account, available: account.available - account.rate * due, paidThrough: epoch };
  }
  return {
    available: account.available - account.rate * affordable,
    rate: 0n,
    paidThrough: epoch,
    generation: account.generation + 1,
    endEpoch: account.paidThrough + Number(affordable) + 1,
  };
}

/** What can be withdrawn: the notice period of all sets, and the epoch that begins, must stay paid for. */
export function withdrawable(
  { available, rate }: Pick<UserAccount, "available" | "rate">,
  noticeEpochs: number,
): bigint {
  const kept = rate * BigInt(noticeEpochs + 1);
  return available > kept ? available - kept : 0n;
}

/** Epochs behind the paid ones that a balance covers; infinite when nothing runs. */
export function runwayEpochs({ available, rate }: UserAccount): number {
  return rate === 0n ? Number.POSITIVE_INFINITY : Number(available / rate);
}
