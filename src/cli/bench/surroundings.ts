/** Where figures were measured: they say nothing without it. */

import { cpus } from 'node:os';

export interface Surroundings {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly system: string;
}

export function surroundings(): Surroundings {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    node: process.version,
    system: `${process.platform} ${process.arch}`,
  };
}

export function describeSurroundings({ cpu, cores, node, system }: Surroundings): string {
  return `${cpu}, ${cores} cores, ${system}, Node ${node}`;
}
