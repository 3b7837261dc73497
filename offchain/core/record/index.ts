/** Public entry point `tallystick/core/record`. */
export * from "./catalogue-note.ts";
export * from "./key-record.ts";
export * from "./names.ts";
export * from "./payload.ts";
