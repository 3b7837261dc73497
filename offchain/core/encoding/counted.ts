/** @returns a number with its noun, for example `1 object` or `2 objects`. @param plural default: with an s */
export function counted(count: number | bigint, noun: string, plural = `${noun}s`): string {
  return `${count} ${Number(count) === 1 ? noun : plural}`;
}
