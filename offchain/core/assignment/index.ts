/** Public entry point `tallystick/core/assignment`. */

export * from "./assignment.ts";
export * from "./ranking.ts";
