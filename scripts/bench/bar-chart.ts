/** Draws horizontal bars in groups as an SVG document, for the documentation. */

export interface Bar {
  readonly group: string;
  readonly label: string;
  readonly value: number;
  /** Drawn as a red mark; a bar beyond it is red. */
  readonly limit?: number;
}

const WIDTH = 860;
const LABEL_WIDTH = 330;
const VALUE_WIDTH = 90;
const ROW_HEIGHT = 22;
const BAR_HEIGHT = 14;
const TOP = 44;
const STYLE =
  ".t{fill:#0f172a;font-weight:600}.s{fill:#475569;font-size:12px}.n{fill:#0f172a;font-size:12px}" +
  ".ok{fill:#10b981}.over{fill:#dc2626}.limit{stroke:#dc2626;stroke-width:2}";

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/**
 * Draws bars from zero, on one scale; a bar above its limit is red.
 * @param bars bars of the same group must be adjacent
 * @param options.isLogarithmic lengths grow with the logarithm, from 1 on
 * @returns an SVG document
 */
export function barChart(
  title: string,
  bars: readonly Bar[],
  { isLogarithmic = false }: { readonly isLogarithmic?: boolean } = {},
): string {
  const lengthOf = (value: number): number => (isLogarithmic ? Math.log2(1 + value) : value);
  const largest = Math.max(1, ...bars.map(({ value, limit }) => Math.max(value, limit ?? 0)));
  const scale = (value: number): number =>
    LABEL_WIDTH + Math.round((lengthOf(value) / lengthOf(largest)) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH));
  const parts: string[] = [];
  let y = TOP;
  let group: string | undefined;
  for (const bar of bars) {
    if (bar.group !== group) {
      group = bar.group;
      parts.push(`<text class="t" x="20" y="${y + 18}">${escapeXml(group)}</text>`);
      y += ROW_HEIGHT + 6;
    }
    const { label, value, limit } = bar;
    const top = y + (ROW_HEIGHT - BAR_HEIGHT) / 2;
    const base = top + BAR_HEIGHT - 3;
    const kind = limit !== undefined && value > limit ? "over" : "ok";
    const end = scale(value);
    parts.push(
      `<text class="s" x="${LABEL_WIDTH - 10}" y="${base}" text-anchor="end">${escapeXml(label)}</text>` +
        `<rect class="${kind}" x="${LABEL_WIDTH}" y="${top}" width="${end - LABEL_WIDTH}" height="${BAR_HEIGHT}" ` +
        'rx="2"/>' +
        `<text class="n" x="${Math.max(end, scale(limit ?? 0)) + 8}" y="${base}">${value.toLocaleString("en")}</text>`,
    );
    if (limit !== undefined) {
      const x = scale(limit);
      parts.push(`<line class="limit" x1="${x}" y1="${y + 1}" x2="${x}" y2="${y + ROW_HEIGHT - 1}"/>`);
    }
    y += ROW_HEIGHT;
  }
  const height = y + 16;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" ` +
      `font-size="14" role="img" aria-label="${escapeXml(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text class="t" x="20" y="26">${escapeXml(title)}</text>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}
