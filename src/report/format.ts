/** A number with this many significant digits, without trailing zeros, with a minus sign of its own and 1,000s parted. */
export function significant(value: number, digits = 4): string {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) {
    return value
      .toExponential(digits - 1)
      .replace(/\.?0*e\+?/, "e")
      .replaceAll("-", "−");
  }
  const rounded = size >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits));
  return rounded.toLocaleString("en-US", { maximumFractionDigits: 12 }).replace("-", "−");
}

/** With exactly this many decimals and a minus sign of its own. */
export function fixed(value: number, decimals: number): string {
  return value.toFixed(decimals).replace("-", "−");
}

/** Seconds as a person says them: 8.3 s, 2 min, 2 min 5 s, 1 h 20 min. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${significant(seconds, 2)} s`;
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "min"],
    [whole < 3600 ? whole % 60 : 0, "s"],
  ] as const;
  return parts.flatMap(([count, unit]) => (count > 0 ? [`${count} ${unit}`] : [])).join(" ");
}
