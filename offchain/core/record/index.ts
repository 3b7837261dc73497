/** Public entry point `tallystick/core/record`. */
export * from "./header.ts";
export * from "./key-record.ts";
export * from "./ledger-scope.ts";
export * from "./names.ts";
export * from "./payload.ts";
export * from "./sealed-record.ts";
export * from "./self-envelope.ts";
export * from "./share-delivery.ts";
export * from "./share-envelopes.ts";
export * from "./share-holders.ts";
