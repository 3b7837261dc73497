/** The version of this build, as package.json has it: what programs print and daemons answer with. */
export const VERSION = "0.1.0";
