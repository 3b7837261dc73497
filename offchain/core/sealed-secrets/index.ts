/** Public entry point `tallystick/core/sealed-secrets`. */
export * from "./decryption-share.ts";
export * from "./label.ts";
export * from "./lengths.ts";
export * from "./release-receipt.ts";
export * from "./sealed-secret.ts";
export * from "./share-reply.ts";
