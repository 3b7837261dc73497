export type ProgramName = "tallystick" | "nbm" | "csp";
export const PROGRAMS: Readonly<Record<ProgramName, string>>;
export function bundleOf(name: ProgramName): { readonly file: string; readonly inputs: string };
export function stampOf(path: string): string;
export function programPath(name: ProgramName): string;
