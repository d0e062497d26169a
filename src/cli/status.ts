/** `tidemark status`: what a running node says of itself. */

import type { ConfigFlags } from './config/flags.ts';
import { EXIT_CODES } from './exit-code.ts';
import { ANSWER_MS_MAX, askNode, fieldsOf, nodeAddress } from './node-client.ts';
import { formatBytes, print, printWarning, table } from './output.ts';

export async function status(flags: ConfigFlags, format: 'text' | 'json'): Promise<number> {
  const address = await nodeAddress(flags);
  const fields = fieldsOf(await askNode(address, ['TIDEMARK', 'STATUS'], ANSWER_MS_MAX));
  if (format === 'json') {
    print(JSON.stringify({ host: address.host, port: address.port, ...fields }));
    return EXIT_CODES.done;
  }
  print(
    table(Object.entries(fields).map(([name, value]) => [name.replaceAll('_', ' '), shown(name, value)])),
  );
  for (const [name, what] of WARNINGS) {
    if (fields[name] !== undefined && fields[name] !== 'none') printWarning(`${what}: ${fields[name]}`);
  }
  return EXIT_CODES.done;
}

/** Fields that say `none` while all is well. */
const WARNINGS = [
  ['refusal', 'commands are refused'],
  ['checkpoint_failure', 'the last checkpoint failed'],
  ['scrub_finding', 'the disk has not kept what it was given'],
  ['scrub_failure', 'the disk is not scrubbed'],
] as const;

function shown(name: string, value: string | number): string {
  if (typeof value === 'string') return value;
  return /(^|_)bytes(_|$)/.test(name) ? formatBytes(value) : value.toLocaleString('en');
}
