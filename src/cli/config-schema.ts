/** `tidemark config schema`: the JSON Schema of a configuration file, which editors complete and check by. */

import { toJsonSchema } from '@valibot/to-json-schema';
import { CONFIG_SCHEMA } from './config/schema.ts';
import type { KeyFacts } from './config/value-schema.ts';
import { EXIT_CODES } from './exit-code.ts';
import { print } from './output.ts';

export function printConfigSchema(): number {
  print(JSON.stringify(configJsonSchema(), null, 2));
  return EXIT_CODES.done;
}

/** Of the values as they are written, so also of `32MiB` where a number of bytes is wanted. */
export function configJsonSchema(): object {
  return toJsonSchema(CONFIG_SCHEMA, {
    typeMode: 'input',
    target: 'draft-07',
    overrideAction({ valibotAction, jsonSchema }) {
      if (valibotAction.type !== 'metadata') return undefined;
      const { facts } = (valibotAction as unknown as { metadata: { facts: KeyFacts } }).metadata;
      const { facts: _, ...plain } = jsonSchema as { facts?: unknown };
      return { ...plain, description: `${facts.about} (${facts.wanted})` };
    },
  });
}
