/** Public entry point `tallystick/core/oprf`. */
export * from "./dleq.ts";
export * from "./group.ts";
export * from "./relation-proof.ts";
export * from "./ristretto255.ts";
export * from "./suite.ts";
export * from "./threshold.ts";
