/** Public entry point `tallystick/core/identity`. */
export * from "./delegate-secrets.ts";
export * from "./delegation.ts";
export * from "./identity.ts";
export * from "./keystore.ts";
export * from "./keystore-message.ts";
export * from "./typed-messages.ts";
export * from "./wallet-key.ts";
export * from "./wallet-signature.ts";
