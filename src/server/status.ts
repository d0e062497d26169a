/** What TIDEMARK STATUS and `/status` tell of a node: what INFO tells, without Redis's names around it. */

import type { InfoSections } from './info.ts';

const OWN_PREFIX = 'tidemark_';

/** Of these all lines are told; of others those that only Tidemark has. */
const STATUS_SECTIONS: ReadonlySet<string> = new Set(['clients', 'memory', 'keyspace', 'replication']);

export function statusOf(sections: InfoSections): Record<string, string | number> {
  const found: Record<string, string | number> = {};
  for (const [section, lines] of Object.entries(sections)) {
    for (const [name, value] of Object.entries(lines)) {
      const isOwn = name.startsWith(OWN_PREFIX);
      if (!isOwn && !STATUS_SECTIONS.has(section)) continue;
      found[isOwn ? name.slice(OWN_PREFIX.length) : name] = value;
    }
  }
  return found;
}
