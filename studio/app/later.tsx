import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.ts";

/** A view that is fetched when it is first shown, so that the page begins with less. */
export function later(load: () => Promise<ComponentType>): ComponentType {
  const view = signal<{ readonly made: ComponentType } | undefined>(undefined);
  const failed = signal(false);
  return function Later() {
    useEffect(() => {
      load().then(
        (made) => {
          view.value = { made };
        },
        () => {
          failed.value = true;
        },
      );
    }, []);
    if (view.value !== undefined) return <view.value.made />;
    return (
      <p class="notice" role="status">
        {t(failed.value ? "app.not-loaded" : "app.loading")}
      </p>
    );
  };
}
