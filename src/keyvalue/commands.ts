/**
 * The commands of the key-value machine, with the meaning and the error texts of Redis 7.0.
 *
 * Each runs on the state alone, so that replaying the log gives the same keys everywhere. A write that throws
 * leaves nothing behind: the state takes it back.
 */

import { BIT_COMMANDS } from './bit-commands.ts';
import { commandsOf, type KeyValueCommand, NO_KEYS } from './command.ts';
import { EXPIRE_COMMAND } from './expire-due.ts';
import { EXPIRY_COMMANDS } from './expiry-commands.ts';
import { HASH_COMMANDS } from './hash-commands.ts';
import { KEY_COMMANDS } from './key-commands.ts';
import { NUMBER_COMMANDS } from './number-commands.ts';
import { OBJECT_COMMANDS } from './object-commands.ts';
import { PATCH_COMMAND } from './patch.ts';
import { unknownSubcommand } from './refusals.ts';
import { RANGE_COMMAND, SCAN_COMMANDS } from './scan-commands.ts';
import { SESSION_COMMAND } from './sessions.ts';
import { STRING_COMMANDS } from './string-commands.ts';
import { STRING_PART_COMMANDS } from './string-parts.ts';
import { EXECUTE_COMMAND } from './transaction.ts';

const COMMANDS = [
  ...STRING_COMMANDS,
  ...STRING_PART_COMMANDS,
  ...NUMBER_COMMANDS,
  ...BIT_COMMANDS,
  ...KEY_COMMANDS,
  ...OBJECT_COMMANDS,
  ...SCAN_COMMANDS,
  ...EXPIRY_COMMANDS,
  ...HASH_COMMANDS,
] as const;

/** What clients may send. */
export const KEY_VALUE_COMMANDS: readonly KeyValueCommand[] = COMMANDS;

/** Subcommands of TIDEMARK that the state answers. */
export const TIDEMARK_STATE_SUBCOMMANDS: readonly KeyValueCommand[] = [
  PATCH_COMMAND,
  RANGE_COMMAND,
  SESSION_COMMAND,
];

/** What the log may hold besides: the server and the node make these. */
export const INTERNAL_COMMANDS: readonly KeyValueCommand[] = [
  EXECUTE_COMMAND,
  EXPIRE_COMMAND,
  {
    ...commandsOf('tidemark').write('tidemark', -2, NO_KEYS, 'Run a command of Tidemark', (_, request) => {
      throw unknownSubcommand('tidemark', request);
    }),
    subcommands: TIDEMARK_STATE_SUBCOMMANDS,
  },
];

type NameOf<Kind> = Extract<(typeof COMMANDS)[number], { readonly kind: Kind }>['name'];

/** Names as users write them; bytes on the wire may have either case. */
export type KeyValueReadName = Uppercase<NameOf<'read'>>;
export type KeyValueWriteName = Uppercase<NameOf<'write'>>;
