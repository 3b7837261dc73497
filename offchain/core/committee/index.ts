/** Public entry point `tallystick/core/committee`. */
export * from "./complaint.ts";
export * from "./dealing.ts";
export * from "./fault.ts";
export * from "./key-id.ts";
export * from "./member-shares.ts";
export * from "./messages.ts";
export * from "./receiving.ts";
export * from "./run.ts";
export * from "./settlement.ts";
