/** Public entry point `tallystick/core/recipe`. */
export * from "./chunker.ts";
export * from "./listing.ts";
export * from "./path-name.ts";
export * from "./recipe.ts";
export * from "./tree.ts";
