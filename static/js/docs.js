// Swagger UI from this server alone; no validator is asked.
const place = document.getElementById("swagger-ui");
window.SwaggerUIBundle({
  url: place.dataset.url,
  domNode: place,
  validatorUrl: null,
  // A signed-in browser's own session is what its changing requests come with.
  requestInterceptor: (request) => {
    if (place.dataset.csrf) request.headers["X-CSRF-Token"] = place.dataset.csrf;
    return request;
  },
  deepLinking: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
