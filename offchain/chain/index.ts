/**
 * The contracts for programs that want more than bindings: the checked connection to a deployment, typed reads and
 * events, builders of calls, and the sender of transactions. Reverts are decoded into typed errors.
 */
export * from "./account-directory.ts";
export * from "./block-header.ts";
export * from "./committee-generations.ts";
export type * from "./contract-call.ts";
export * from "./contracts.ts";
export * from "./data-set-words.ts";
export * from "./delegates.ts";
export * from "./deployment.ts";
export * from "./double-signing.ts";
export * from "./escrow.ts";
export * from "./escrow-calls.ts";
export * from "./escrow-events.ts";
export * from "./fee-limit.ts";
export * from "./group-keys.ts";
export * from "./head.ts";
export * from "./ledger.ts";
export * from "./logs.ts";
export * from "./oprf-disputes.ts";
export * from "./randomness.ts";
export * from "./randomness-kind.ts";
export * from "./recovery-events.ts";
export * from "./recovery-policy.ts";
export * from "./recovery-publications.ts";
export * from "./registry.ts";
export * from "./registry-events.ts";
export * from "./release-policy.ts";
export * from "./revert.ts";
export * from "./sender.ts";
