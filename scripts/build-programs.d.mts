export const PROGRAMS: readonly string[];
export function packageSources(): string[];
export function buildPrograms(): Promise<string[]>;
