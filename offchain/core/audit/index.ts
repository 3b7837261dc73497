/** Public entry point `tallystick/core/audit`. */
export * from "./challenge.ts";
export * from "./commitment-tree.ts";
export * from "./commitments.ts";
export * from "./curve.ts";
export * from "./field.ts";
export * from "./fixed-base.ts";
export * from "./keys.ts";
export * from "./manifest.ts";
export * from "./powers.ts";
export * from "./proof.ts";
export * from "./prover.ts";
export * from "./ready.ts";
export * from "./sampling.ts";
export * from "./segment-commitments.ts";
export * from "./tags.ts";
export * from "./verdict.ts";
export * from "./verifier.ts";
