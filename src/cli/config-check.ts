/** `tidemark config check`: the resolved configuration with where each value comes from, or every fault. */

import type { ConfigFlags } from './config/flags.ts';
import { CONFIG_KEYS, type ConfigKey } from './config/keys.ts';
import { type Resolution, resolveConfig } from './config/resolve.ts';
import type { Config } from './config/schema.ts';
import { describeFault, describeOrigin } from './config/setting.ts';
import { EXIT_CODES } from './exit-code.ts';
import { print, table } from './output.ts';
import { paint } from './paint.ts';

const HIDDEN = '(hidden)';

export async function checkConfig(flags: ConfigFlags, format: 'text' | 'json'): Promise<number> {
  const resolution = await resolveConfig(flags, process.env);
  if (format === 'json') print(JSON.stringify(asJson(resolution)));
  else printText(resolution);
  return resolution.config === null ? EXIT_CODES.usage : EXIT_CODES.done;
}

function printText({ config, origins, faults }: Resolution): void {
  if (config === null) {
    for (const fault of faults) print(paint('red', describeFault(fault), process.stdout));
    return;
  }
  const rows = [...CONFIG_KEYS.values()].map((key) => {
    const origin = origins.get(key.name);
    const value = valueOf(config, key);
    const shown = value === undefined ? '-' : key.isSecret ? HIDDEN : key.write(value);
    return [key.name, shown, origin === undefined ? '-' : describeOrigin(origin)];
  });
  print(table([['key', 'value', 'from'], ...rows]));
}

function asJson({ config, origins, faults }: Resolution): object {
  if (config === null) return { ok: false, faults };
  const keys = [...CONFIG_KEYS.values()].map((key) => {
    const value = valueOf(config, key);
    const isHidden = key.isSecret && value !== undefined;
    return {
      key: key.name,
      value: isHidden ? HIDDEN : (value ?? null),
      origin: origins.get(key.name) ?? null,
    };
  });
  return { ok: true, keys };
}

function valueOf(config: Config, { name }: ConfigKey): unknown {
  return name
    .split('.')
    .reduce<unknown>((value, field) => (value as Readonly<Record<string, unknown>>)[field], config);
}
