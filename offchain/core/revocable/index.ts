/** Public entry point `tallystick/core/revocable`. */
export * from "./epoch-key.ts";
export * from "./group-member.ts";
export * from "./group-state.ts";
export * from "./group-stubs.ts";
export * from "./member-path.ts";
export * from "./owner-group.ts";
export * from "./package.ts";
export * from "./rekey-message.ts";
export * from "./stub-file.ts";
