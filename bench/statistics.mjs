const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.round((values.length - 1) * q)]

/** Median and, in brackets, the middle half: `1.02 (0.99 to 1.04)`. */
export function spread(values, digits = 0) {
  const [median, low, high] = [0.5, 0.25, 0.75].map(q => quantile(values, q).toFixed(digits))
  return `${median} (${low} to ${high})`
}
