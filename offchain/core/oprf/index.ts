/** Public entry point `tallystick/core/oprf`. */
export * from "./dleq.ts";
export * from "./group.ts";
export * from "./p256.ts";
export * from "./p256-group.ts";
export * from "./prime-order-group.ts";
export * from "./relation-proof.ts";
export * from "./ristretto255.ts";
export * from "./rsa-blind.ts";
export * from "./rsa-dealer.ts";
export * from "./signed-answer.ts";
export * from "./suite.ts";
export * from "./threshold.ts";
export * from "./voprf.ts";
