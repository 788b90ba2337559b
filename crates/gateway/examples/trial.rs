use tidewire_gateway::settings::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut s = Settings::new(
        args[1].parse().unwrap(),
        vec![Endpoint::new(
            "echo",
            vec![Upstream::new(tidewire::ws::Url::parse(&args[2]).unwrap())],
        )],
    );
    s.workers = Some(1);
    s.limits.per_ip_max = usize::MAX;
    s.routes.push(Route {
        endpoint: "echo".into(),
        conditions: vec![],
        strip_prefix: None,
    });
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let r = tidewire_gateway::start(s).unwrap();
        println!("{:?}", r.addresses());
        std::future::pending::<()>().await
    });
}
