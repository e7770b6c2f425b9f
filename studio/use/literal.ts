/** A value as a program has it: { count: 16, seed: 0 }. */
export function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, own]) => `${key}: ${literal(own)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}
