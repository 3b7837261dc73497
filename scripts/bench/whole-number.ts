/** Reads an option of a benchmark. @throws TypeError for anything but a whole number from `least` on */
export function wholeNumber(name: string, text: string, least = 1): number {
  const number = Number(text);
  if (text.trim() !== "" && Number.isSafeInteger(number) && number >= least) return number;
  throw new TypeError(`--${name} takes a whole number from ${least}, not ${text}`);
}
