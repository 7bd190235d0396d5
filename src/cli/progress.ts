// A progress bar on a terminal, for work that can take long; elsewhere nothing at all. The library is loaded only when
// there is a terminal to draw on.
import type { WriteStream } from 'node:tty';

/** Where progress shows. */
export interface Progress {
  /** `bytes` done so far, and what is being done. */
  update(bytes: number, what: string): void;
  /** Takes the bar away. */
  stop(): void;
}

const NONE: Progress = { update() {}, stop() {} };

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** A size for people: `3.4 MiB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/**
 * A bar on `stream` if that is a terminal. `total`: bytes to do, 0 when nobody knows; then only what is done is shown, by
 * `shown` where it is not bytes.
 */
export async function startProgress(
  stream: NodeJS.WritableStream | WriteStream,
  total: number,
  shown: (done: number) => string = sizeText,
): Promise<Progress> {
  if (!('isTTY' in stream) || stream.isTTY !== true) return NONE;
  const { default: cliProgress } = await import('cli-progress');
  const width = stream.columns;
  const room = Math.max(10, width - 50);
  const bar = new cliProgress.SingleBar({
    format: total > 0 ? '{bar} {percentage}% {done} {what}' : '{done} {what}',
    barsize: 20,
    stream,
    hideCursor: true,
    clearOnComplete: true,
    fps: 8,
    linewrap: false,
  });
  bar.start(Math.max(total, 1), 0, { done: shown(0), what: '' });
  return {
    update(bytes, what) {
      bar.update(Math.min(bytes, Math.max(total, 1)), { done: shown(bytes), what: what.slice(-room) });
    },
    stop() {
      bar.stop();
    },
  };
}

/** A bar on stderr that starts when it is known of how much: with the first update. */
export class LateProgress {
  #bar: Promise<Progress> | null = null;

  constructor(private readonly shown: (done: number) => string = sizeText) {}

  update(done: number, total: number): void {
    this.#bar ??= startProgress(process.stderr, total, this.shown);
    void this.#bar.then(bar => bar.update(done, total === 0 ? '' : `of ${this.shown(total)}`));
  }

  async stop(): Promise<void> {
    (await this.#bar)?.stop();
  }
}
