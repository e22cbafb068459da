"use strict";
Redoc.init(
  "openapi.json",
  // A search would run in a worker made of a blob, which the policy of the page forbids; a page of a dozen
  // calls is searched by the browser.
  { disableSearch: true, hideDownloadButton: true, expandResponses: "200" },
  document.getElementById("api"),
);
