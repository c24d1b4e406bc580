//! The imports of the module.

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    pub(super) fn proxy_log(level: u32, line: *const u8, size: usize) -> u32;
    pub(super) fn proxy_get_current_time_nanoseconds(nanoseconds: *mut u64) -> u32;
    pub(super) fn proxy_set_tick_period_milliseconds(milliseconds: u32) -> u32;
    pub(super) fn proxy_get_property(path: *const u8, size: usize, data: *mut *mut u8, out: *mut usize) -> u32;
    pub(super) fn proxy_set_property(path: *const u8, size: usize, value: *const u8, value_size: usize) -> u32;
    pub(super) fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        size: usize,
        data: *mut *mut u8,
        out: *mut usize,
    ) -> u32;
    pub(super) fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32;
    pub(super) fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        out: *mut usize,
    ) -> u32;
    pub(super) fn proxy_set_effective_context(context: u32) -> u32;
    pub(super) fn proxy_continue_stream(stream: u32) -> u32;
    pub(super) fn proxy_close_stream(stream: u32) -> u32;
    pub(super) fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    pub(super) fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        milliseconds: u32,
        token: *mut u32,
    ) -> u32;
    pub(super) fn proxy_register_shared_queue(name: *const u8, size: usize, queue: *mut u32) -> u32;
    pub(super) fn proxy_enqueue_shared_queue(queue: u32, value: *const u8, size: usize) -> u32;
    pub(super) fn proxy_dequeue_shared_queue(queue: u32, data: *mut *mut u8, out: *mut usize) -> u32;
    pub(super) fn proxy_get_shared_data(
        key: *const u8,
        size: usize,
        data: *mut *mut u8,
        out: *mut usize,
        version: *mut u32,
    ) -> u32;
    pub(super) fn proxy_set_shared_data(
        key: *const u8,
        size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    pub(super) fn proxy_define_metric(kind: u32, name: *const u8, size: usize, metric: *mut u32) -> u32;
    pub(super) fn proxy_increment_metric(metric: u32, offset: i64) -> u32;
    pub(super) fn proxy_record_metric(metric: u32, value: u64) -> u32;
    pub(super) fn proxy_call_foreign_function(
        name: *const u8,
        size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        out: *mut usize,
    ) -> u32;
    pub(super) fn proxy_done() -> u32;
}
