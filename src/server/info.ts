/**
 * The text of INFO: sections of `key:value` lines, as Redis prints them and as clients and monitors parse
 * them.
 */

/** Section, in lower case, to its lines. Whole numbers are printed as such, others as they are. */
export type InfoSections = Readonly<Record<string, Readonly<Record<string, string | number>>>>;

/** Names that ask for everything. Redis leaves some sections out of `default`; we have none that cost. */
const EVERYTHING: ReadonlySet<string> = new Set(['all', 'default', 'everything']);

/** Joins the sections of both; where both have a line, `over` has the last word. */
export function mergeInfo(under: InfoSections, over: InfoSections): InfoSections {
  const merged: Record<string, Readonly<Record<string, string | number>>> = { ...under };
  for (const [name, lines] of Object.entries(over)) merged[name] = { ...merged[name], ...lines };
  return merged;
}

/** @param names Sections asked for, in any case; none means all. Unknown ones are left out. */
export function formatInfo(sections: InfoSections, names: readonly string[]): string {
  const asked = new Set(names.map((name) => name.toLowerCase()));
  const isEverything = asked.size === 0 || [...asked].some((name) => EVERYTHING.has(name));
  return Object.entries(sections)
    .filter(([name]) => isEverything || asked.has(name))
    .map(([name, lines]) => formatSection(name, lines))
    .join('\r\n');
}

function formatSection(name: string, lines: Readonly<Record<string, string | number>>): string {
  const title = `# ${name.charAt(0).toUpperCase()}${name.slice(1)}\r\n`;
  return (
    title +
    Object.entries(lines)
      .map(([key, value]) => `${key}:${oneLine(String(value))}\r\n`)
      .join('')
  );
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, ' ');
}
