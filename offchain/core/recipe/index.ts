/** Public entry point `tallystick/core/recipe`. */
export * from "./bundle.ts";
export * from "./chunker.ts";
export * from "./frame.ts";
export * from "./listing.ts";
export * from "./path-name.ts";
export * from "./recipe.ts";
export * from "./tree.ts";
