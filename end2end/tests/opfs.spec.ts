import { expect, test } from "@playwright/test";
import { withWebGpu } from "../support/chromium.ts";
import { ask, open, picture } from "../support/test.ts";
import { request, studio, TinyHub, where } from "../support/tinyhub.ts";

test.use({ launchOptions: withWebGpu });

/** Script before the worker's own: `times` calls for a handle to write that `which` holds of are refused with `name`. */
const refuse = (name: string, times = "Infinity", which = "true") => `
  { let left = ${times}; const open = FileSystemFileHandle.prototype.createSyncAccessHandle;
    FileSystemFileHandle.prototype.createSyncAccessHandle = function (...given) {
      if (!(${which}) || left-- <= 0) return open.apply(this, given);
      return Promise.reject(new DOMException("The operation failed for an unknown transient reason", "${name}"));
    }; }\n`;

/** The Cache API opens, and takes nothing. */
const noCache = `Cache.prototype.put = () => Promise.reject(new DOMException("Unexpected internal error", "UnknownError"));\n`;
const weights = "/^[0-9a-f]{64}$/.test(this.name)";

const cases: { what: string; hook: string; kept: RegExp }[] = [
  { what: "always, as in private windows", hook: refuse("SecurityError"), kept: /browser cache/ },
  { what: "always, as with a damaged profile", hook: refuse("UnknownError"), kept: /browser cache/ },
  { what: "always, and the cache takes nothing", hook: refuse("UnknownError") + noCache, kept: /lets this site keep no files/ },
  { what: "for weights that a frozen tab holds", hook: refuse("NoModificationAllowedError", "Infinity", weights), kept: /private file system/ },
  { what: "for a second, while a tab closes", hook: refuse("NoModificationAllowedError", "20"), kept: /private file system/ },
];

for (const { what, hook, kept } of cases) {
  test(`a picture is made in the browser although handles are refused ${what}`, async ({ browser }) => {
    const tiny = await TinyHub.start();
    const context = await tiny.visitor(browser);
    try {
      await context.route(/(render|cpu)-worker-[0-9a-f]+\.js/, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: hook + (await response.text()) });
      });
      const page = await studio(context, "&policy=browser_only");
      await ask(page, { ...request, seed: 24, policy: "browser_only" });
      await picture(page);
      await expect(where(page)).toContainText("in this browser on WebGPU");
      await open(page, "/storage");
      await expect(page.getByText(kept).first()).toBeVisible();
    } finally {
      await context.close();
      await tiny.stop();
    }
  });
}
