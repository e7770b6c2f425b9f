import { computed, signal } from "@preact/signals";

// Where a reader is: `#/ROOM?…`. What follows the question mark is the room's own.

const hash = signal(location.hash);

addEventListener("hashchange", () => {
  hash.value = location.hash;
});

/** The room that the address names; empty where it names none. */
export const roomId = computed(() => /^#\/([\w-]+)/.exec(hash.value)?.[1] ?? "");
