/**
 * Adds a value to the list that stands under a key; the list begins with it where there is none.
 * The time is that of one value, however many the list has.
 */
export function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
