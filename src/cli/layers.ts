// `lamina layer diff` and `lamina layer apply`: the words of the command line; the work is in layer.ts.
import type { Command } from 'commander';

export function define(command: Command): void {
  command.command('diff');
}
