// The loop of a channel: takes requests and delivers them until there are none, and after each answer looks for the next
// for a few microseconds, because waking a sleeping thread costs more than the answer. Every few milliseconds the event
// loop gets its turn.

/** How long the event loop may have to wait, in rounds and milliseconds. */
const MAX_ROUNDS = 64;
const MAX_MILLISECONDS = 2;
/** After so many looks in vain the loop does without for so many wake-ups. */
const VAIN_LOOKS = 4;
const PAUSE_WAKES = 32;
/** When more than every fourth of so many looks was cut short for somebody else, the loop does without for so many wake-ups. */
const SAMPLE_LOOKS = 32;
const CROWDED_WAKES = 512;

/** Where a pump takes requests from. */
export interface Source {
  /** Takes what has come, after looking for it for `spinMicros`; how many, or less than 0 when there will be no more. */
  take(spinMicros: number): number;
  /** Has them answered; false when this is not the time for looking: answers are being waited for elsewhere. */
  deliver(count: number): boolean;
  /** Has something been put off that nobody waits for? */
  behind(): boolean;
  /** Has that done. */
  catchUp(): void;
  /** The loop ends before all has been taken. */
  leave?(): void;
}

export class Pump {
  /** Is the loop on the stack? */
  running = false;
  private scheduled = false;
  private stopped = false;
  private vain = 0;
  private pause = 0;
  private looks = 0;
  /** How often the process had lost its CPU at the first of these looks. */
  private preempted = 0;

  /** `spinMicros` 0: never looks. `preemptions`: how often this process has lost its CPU to another so far. */
  constructor(
    private readonly source: Source,
    public spinMicros: number,
    private readonly preemptions: () => number = () => process.resourceUsage().involuntaryContextSwitches,
  ) {}

  /** Something has come, says the event loop. */
  wake(): void {
    if (this.pause > 0) this.pause--;
    this.run();
  }

  /** Takes and delivers until there is nothing, or the event loop must have its turn. `looking`: looks before the first, too. */
  run(looking = false): void {
    if (this.running || this.stopped) return;
    this.running = true;
    const until = performance.now() + MAX_MILLISECONDS;
    for (let round = 0; !this.stopped; round++) {
      if (round === MAX_ROUNDS || ((round & 7) === 7 && performance.now() > until)) {
        this.source.leave?.();
        this.continueSoon();
        break;
      }
      const spin = looking && this.pause === 0 ? this.spinMicros : 0;
      const count = this.next(spin);
      if (count <= 0) {
        if (count === 0 && spin > 0) this.lookedInVain();
        break;
      }
      if (spin > 0) {
        this.vain = 0;
        this.weigh();
      }
      looking = this.source.deliver(count);
    }
    this.running = false;
  }

  /** Takes what comes next; when nothing comes, this is the time for what was put off. */
  private next(spin: number): number {
    const { source } = this;
    const count = source.take(spin);
    if (count !== 0 || !source.behind()) return count;
    source.catchUp();
    return source.take(0);
  }

  /** Takes nothing any more. */
  stop(): void {
    this.stopped = true;
  }

  /**
   * Where callers, or others, wait for this very CPU, looking for them keeps them from running: then each look ends in a
   * preemption. With a CPU to spare there are none.
   */
  private weigh(): void {
    if (this.looks++ === 0) this.preempted = this.preemptions();
    if (this.looks < SAMPLE_LOOKS) return;
    this.looks = 0;
    if (this.preemptions() - this.preempted > SAMPLE_LOOKS / 4) this.pause = CROWDED_WAKES;
  }

  private lookedInVain(): void {
    this.vain++;
    if (this.vain < VAIN_LOOKS) return;
    this.vain = 0;
    this.pause = PAUSE_WAKES;
  }

  private continueSoon(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.run();
    });
  }
}
