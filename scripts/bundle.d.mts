export function bundlePrograms(): void;
