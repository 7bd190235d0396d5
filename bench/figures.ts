// How figures are put into words.

export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Half the distance from the least to the greatest figure, in percent of the median. */
export function spread(figures: readonly number[]): number {
  return ((Math.max(...figures) - Math.min(...figures)) / 2 / median(figures)) * 100;
}

export const plainNumber = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value.toPrecision(3);
