/** The version that daemons print and answer with. */
export const VERSION = "0.1.0";
