/** Public entry point `tallystick/core/data-set`. */

export * from "./balance.ts";
export * from "./content.ts";
export * from "./epochs.ts";
export * from "./evidence.ts";
export * from "./fee.ts";
export * from "./offer.ts";
export * from "./ranges.ts";
export * from "./schedule.ts";
export * from "./sealed-challenge.ts";
export * from "./terms.ts";
export * from "./verify-evidence.ts";
