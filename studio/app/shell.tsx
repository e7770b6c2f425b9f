import type { ComponentType } from "preact";
import { type TextKey, t } from "../i18n/index.ts";
import { Brand } from "../ui/brand.tsx";
import { Preferences } from "../ui/preferences.tsx";

/** A room of the studio: a part of the address, its name, and what it shows. */
export interface Room {
  readonly id: string;
  readonly name: TextKey;
  readonly view: ComponentType;
}

/** What stands around every room: the head with rooms, language and colors. */
export function Shell({ rooms, current }: { readonly rooms: readonly Room[]; readonly current: Room }) {
  const View = current.view;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("content")?.focus()}>
        {t("app.skip")}
      </button>
      <header class="head">
        <Brand name={t("app.title")} />
        <nav aria-label={t("app.rooms")}>
          {rooms.map((room) => (
            <a key={room.id} href={`#/${room.id}`} aria-current={room === current ? "page" : undefined}>
              {t(room.name)}
            </a>
          ))}
        </nav>
        <Preferences />
      </header>
      <main id="content" tabIndex={-1}>
        <View />
      </main>
    </>
  );
}
