/** Public entry point `tallystick/core/snapshot`. */
export * from "./entry-metadata.ts";
export * from "./list-objects.ts";
export * from "./metadata-item.ts";
export * from "./metadata-objects.ts";
export * from "./metadata-stream.ts";
export * from "./snapshot.ts";
export * from "./snapshot-keys.ts";
